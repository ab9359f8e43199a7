// Positive pairs: a picture and two views of it, before a training is started that would call them the same.

const AT_ONCE = 6; // pairs on show

class Pairs {
  constructor(root, data) {
    this.data = {};
    this.seed = 0;
    root.classList.add("pairs");
    this.notes = el("div", { role: "status" });
    this.list = el("div.list", { "aria-busy": "true" });
    const others = el("button", { type: "button", onclick: () => ((this.seed += 1), this.look()) }, say("train.show_others"));
    const said = say("train.pairs");
    root.append(el("div.row", {}, el("span.quiet", {}, said), el("span.grow"), others), this.notes, this.list);
  }

  destroy() {
    this.asked?.abort();
  }

  update(data) {
    const changed = JSON.stringify(data) !== JSON.stringify(this.data);
    this.data = data;
    if (changed) this.look();
  }

  async look() {
    this.asked?.abort();
    const { signal } = (this.asked = new AbortController());
    const { collection, preset } = this.data;
    this.list.setAttribute("aria-busy", "true");
    try {
      const { pairs, warnings } = await post(of(collection, "pairs"), { preset, seed: this.seed, count: AT_ONCE }, signal);
      this.notes.replaceChildren(...warnings.map((sentence) => el("p.note", {}, sentence)));
      this.list.replaceChildren(...pairs.map((pair) => this.pair(pair)));
      this.list.setAttribute("aria-busy", "false");
    } catch (error) {
      if (error.name === "AbortError") return;
      this.notes.replaceChildren(el("p.bad", {}, error.message));
      this.list.replaceChildren();
      this.list.setAttribute("aria-busy", "false");
    }
  }

  pair({ image_id, preview, views }) {
    const picture = (src, alt) => el("img", { src, alt, width: 96, height: 96, decoding: "async" });
    return el("div.pair", { role: "group", "aria-label": say("train.pair", { id: String(image_id) }) }, picture(preview, say("search.picture", { id: String(image_id) })), views.map((src, k) => picture(src, say("train.view", { n: k + 1 }))));
  }
}

export default (component) => mount(component, Pairs);
