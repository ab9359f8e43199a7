// Positive pairs: a picture and two views of it, before a training is started that would call them the same. Each
// picture can be pinned: what is most like it is then shown again and again while the model learns.

const AT_ONCE = 6; // pairs on show
const PINS = 4; // pictures that can be pinned

class Pairs {
  constructor(changed) {
    this.changed = changed;
    this.asked = null;
    this.seed = 0;
    this.pins = new Map(); // image id → its preview's address
    this.notes = el("div", { role: "status" });
    this.list = el("div.list", { "aria-busy": "true" });
    this.pinned = el("div.row.pinned", { role: "group", "aria-label": say("train.pins") });
    const others = el("button", { type: "button", onclick: () => ((this.seed += 1), this.look()) }, say("train.show_others"));
    this.root = el("div.pairs", {}, el("div.row", {}, el("span.quiet", {}, say("train.pairs")), el("span.grow"), others), this.notes, this.list, this.pinned);
    this.drawPins();
  }

  destroy() {
    this.asked?.abort();
  }

  show(collection, preset) {
    if (this.collection === collection && this.preset === preset) return;
    if (this.collection !== collection) this.pins.clear();
    [this.collection, this.preset] = [collection, preset];
    this.drawPins();
    this.look();
  }

  async look() {
    this.asked?.abort();
    const { signal } = (this.asked = new AbortController());
    this.list.setAttribute("aria-busy", "true");
    try {
      const { pairs, warnings, warnings_said: said } = await post(of(this.collection, "pairs"), { preset: this.preset, seed: this.seed, count: AT_ONCE }, signal);
      this.notes.replaceChildren(...warnings.map((message, k) => el("p.note", {}, sentenceFor(message, said[k]))));
      this.list.replaceChildren(...pairs.map((pair) => this.pair(pair)));
      this.list.setAttribute("aria-busy", "false");
    } catch (error) {
      if (error.name === "AbortError") return;
      this.notes.replaceChildren(el("p.bad", {}, error.message));
      this.list.replaceChildren();
      this.list.setAttribute("aria-busy", "false");
    }
  }

  pair({ image_id: id, preview, views }) {
    const picture = (src, alt) => el("img", { src, alt, width: 96, height: 96, decoding: "async" });
    const pin = el("button.pin", { type: "button", "aria-pressed": String(this.pins.has(id)), "data-id": String(id), title: say("train.pin_about"), onclick: () => this.pin(id, preview) }, say("train.pin"));
    const own = el("div.own", {}, picture(preview, say("search.picture", { id: String(id) })), pin);
    return el("div.pair", { role: "group", "aria-label": say("train.pair", { id: String(id) }) }, own, views.map((src, k) => picture(src, say("train.view", { n: k + 1 }))));
  }

  pin(id, preview) {
    if (!this.pins.delete(id) && this.pins.size < PINS) this.pins.set(id, preview);
    this.drawPins();
    this.changed();
  }

  drawPins() {
    for (const button of this.list.querySelectorAll("[data-id]")) {
      const there = this.pins.has(Number(button.dataset.id));
      button.setAttribute("aria-pressed", String(there));
      button.disabled = !there && this.pins.size >= PINS;
    }
    const out = ([id, src]) => el("button.pinned", { type: "button", "aria-label": say("train.unpin", { id: String(id) }), onclick: () => this.pin(id, src) }, el("img", { src, alt: "" }), "✕");
    this.pinned.replaceChildren(el("span.quiet", {}, say(this.pins.size ? "train.pinned" : "train.pin_hint", { n: this.pins.size, most: PINS })), ...[...this.pins].map(out));
  }
}
