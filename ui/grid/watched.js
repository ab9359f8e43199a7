// Pinned pictures while a model learns: what was most like each of them before the first step, and at every evaluation.

class Watching {
  constructor() {
    this.looks = [];
    this.at = null; // which evaluation is on show; null: the newest
    this.slider = el("input", { type: "range", min: "0", step: "1", "aria-label": say("train.evaluation"), oninput: () => this.choose(Number(this.slider.value)) });
    this.when = el("output.small");
    this.rows = el("div.queries");
    this.root = el("section.watching", { hidden: true, "aria-label": say("train.watching") }, el("h3", {}, say("train.watching")), el("p.quiet.small", {}, say("train.watching_about")), el("div.row", {}, this.slider, this.when), this.rows);
  }

  show(looks) {
    this.looks = looks;
    this.root.hidden = !looks.length;
    if (looks.length) this.draw();
  }

  choose(at) {
    this.at = at === this.looks.length - 1 ? null : at;
    this.draw();
  }

  draw() {
    const last = this.looks.length - 1;
    const at = Math.min(this.at ?? last, last);
    const [look, before] = [this.looks[at], this.looks[0]];
    const said = look.step === 0 ? say("train.before_learning") : say("jobs.epoch", { epoch: Math.ceil(look.epoch) });
    this.slider.max = String(last);
    this.slider.value = String(at);
    this.slider.disabled = last === 0;
    this.slider.setAttribute("aria-valuetext", said);
    this.when.textContent = said;
    const key = JSON.stringify([at, look.step, last === 0]);
    if (this.drawn === key) return;
    this.drawn = key;
    this.rows.replaceChildren(...look.queries.map((query, k) => this.query(query, new Set(before.queries[k].nearest.map((one) => one.image)))));
  }

  query({ image, preview, nearest }, atFirst) {
    const fresh = nearest.filter((one) => !atFirst.has(one.image)).length;
    const face = (one) => el(atFirst.has(one.image) ? "img" : "img.fresh", { src: one.preview, alt: say("train.near", { id: String(one.image), cosine: one.cosine.toFixed(2) }), title: one.cosine.toFixed(2), decoding: "async" });
    return el("div.query", { role: "group", "aria-label": say("train.nearest_of", { id: String(image) }) }, el("img.asked", { src: preview, alt: say("search.picture", { id: String(image) }) }), el("div.near", {}, nearest.map(face)), el("span.quiet.small", {}, say("train.changed", { n: fresh, of: nearest.length })));
  }
}
