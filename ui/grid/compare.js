// Two models side by side, blind: what each finds for one picture, which list is better, and what the answers say.

const SHOWN = 12; // pictures a side

class Compare {
  constructor(root, data) {
    root.classList.add("compare");
    this.toast = new Toast(root);
    [this.first, this.second] = [0, 1].map(() => el("select", { onchange: () => this.chosen() }));
    this.bar = el("div.models", {}, el("label", {}, say("compare.first"), this.first), el("label", {}, say("compare.second"), this.second));
    this.notes = el("div", { role: "status" });
    this.stage = el("div.stage");
    this.told = el("p.told", { role: "status", "aria-live": "polite" });
    this.result = el("section.result", { "aria-label": say("compare.result"), hidden: true });
    root.append(this.bar, this.notes, this.stage, this.told, this.result);
    this.keys = (event) => this.key(event);
    document.addEventListener("keydown", this.keys);
  }

  destroy() {
    this.gone = true;
    document.removeEventListener("keydown", this.keys);
  }

  update({ collection, pair, image }) {
    if (this.collection === collection) return;
    this.collection = collection;
    this.wanted = pair;
    this.image = image; // to ask about first
    this.look();
  }

  /** The models there are, and which of them have an index here. */
  async look() {
    try {
      const [{ items: models }, { items: indexes }] = await Promise.all([get("/v1/models"), get(of(this.collection, "indexes"))]);
      if (this.gone) return;
      this.indexes = new Map(indexes.map((one) => [one.model, one]));
      this.bar.hidden = models.length < 2;
      if (models.length < 2) return this.stage.replaceChildren(el("p.quiet", {}, say("compare.one_only")));
      const active = indexes.find((one) => one.active)?.model;
      const known = (model) => models.some((one) => one.fingerprint === model);
      const named = (one) => `${one.fingerprint.slice(0, 8)} · ${one.backbone}, ${one.image_size} px, ${when(one.created_at)}${one.fingerprint === active ? ` · ${say("train.active")}` : ""}`;
      for (const select of [this.first, this.second]) select.replaceChildren(...models.map((one) => el("option", { value: one.fingerprint }, named(one))));
      this.first.value = known(this.wanted[0]) ? this.wanted[0] : (active ?? models[0].fingerprint);
      const others = models.filter((one) => one.fingerprint !== this.first.value);
      this.second.value = known(this.wanted[1]) ? this.wanted[1] : (others.find((one) => this.indexes.has(one.fingerprint)) ?? others[0]).fingerprint;
      this.begin();
    } catch (error) {
      if (!this.gone) this.notes.replaceChildren(el("p.bad", {}, error.message));
    }
  }

  get pair() {
    return [this.first.value, this.second.value];
  }

  chosen() {
    this.wanted = this.pair;
    this.told.replaceChildren();
    this.tell("pair", this.pair);
    this.begin();
  }

  /** Say what an index lacks; with both there, the first picture. */
  begin() {
    const [lacking, behind] = [[], []];
    for (const model of new Set(this.pair)) {
      const index = this.indexes.get(model);
      if (!index) lacking.push(model);
      else if (index.vectors < index.images) behind.push(index);
    }
    const make = (model, text) => el("button", { type: "button", onclick: () => this.make(model) }, text);
    this.notes.replaceChildren(
      ...lacking.map((model) => el("p.note", {}, say("compare.no_index", { model: model.slice(0, 8) }), " ", make(model, say("compare.make")))),
      ...behind.map(({ model, vectors, images }) => el("p.note", {}, say("compare.behind", { model: model.slice(0, 8), n: vectors, of: number(images) }), " ", make(model, say("compare.update")))),
    );
    this.trial = null;
    this.result.hidden = true;
    if (lacking.length) this.stage.replaceChildren();
    else this.next(this.image);
    this.image = null;
  }

  /** An index of a model that does not become the active one. */
  async make(model) {
    try {
      const job = await ended(await post(of(this.collection, "indexes"), { model, activate: false }), () => !this.gone, (now) => this.notes.replaceChildren(el("p.note", {}, say("compare.making", { model: model.slice(0, 8), message: lineOf(now) }))));
      if (job.state !== "succeeded") throw new Sentence(job.state === "failed" ? failureOf(job) : lineOf(job));
    } catch (error) {
      this.toast.fail(error);
    }
    if (!this.gone) this.look();
  }

  /** Another picture: one that was asked for, or one drawn by lot. */
  async next(image = null) {
    const turn = (this.turn = {});
    this.trial = null;
    try {
      const trial = await post(of(this.collection, "comparisons"), { models: this.pair, limit: SHOWN, ...(image === null ? {} : { image_id: image }) });
      if (this.gone || this.turn !== turn) return;
      this.trial = trial;
      this.show(trial);
      this.count(trial.result);
    } catch (error) {
      if (!this.gone && this.turn === turn) this.stage.replaceChildren(el("p.bad", {}, error.message));
    }
  }

  show({ image, left, right }) {
    const tile = (one) => el("li", {}, el("button", { type: "button", title: say("compare.ask_this"), "aria-label": say("compare.ask_about", { name: one.name }), onclick: () => this.next(one.id) }, el("img", { src: one.preview, alt: "", decoding: "async" })));
    const side = (name, list) => el("section", { "aria-label": say(`compare.${name}`) }, el("h2", {}, say(`compare.${name}`)), el("ol", {}, list.map(tile)));
    const vote = (answer, key) => el("button.vote", { type: "button", onclick: () => this.vote(answer) }, el("kbd", { "aria-hidden": "true" }, key), " ", say(`compare.vote_${answer}`));
    this.stage.replaceChildren(
      el("div.asked", {}, el("img", { src: image.preview, alt: image.name }), el("div", {}, el("p", {}, say("compare.question")), el("button", { type: "button", onclick: () => this.next() }, say("compare.other")))),
      el("div.row.votes", { role: "group", "aria-label": say("compare.votes") }, vote("left", "←"), vote("same", "↓"), vote("right", "→")),
      el("div.sides", {}, side("left", left), side("right", right)),
    );
  }

  async vote(answer) {
    const { trial } = this;
    if (!trial) return;
    this.trial = null; // one key press, one answer
    try {
      const said = await save(of(this.collection, `comparisons/${trial.id}/vote`), { answer });
      const short = (model) => model.slice(0, 8);
      this.told.replaceChildren(say("compare.told", { left: short(said.left), right: short(said.right) }), " ", el("strong", {}, answer === "same" ? say("compare.told_same") : say("compare.told_better", { model: short(said[answer]) })));
      this.next();
    } catch (error) {
      this.trial = trial;
      this.toast.fail(error);
    }
  }

  async undo() {
    const last = this.last;
    if (!last) return;
    this.last = null;
    try {
      await save(of(this.collection, `comparisons/${last}`), undefined, "DELETE");
      this.told.replaceChildren(say("compare.taken_back"));
      this.next();
    } catch (error) {
      this.toast.fail(error);
    }
  }

  /** What the answers so far say: how many for either, and where one half lies in the interval. */
  count(result) {
    this.last = result.last;
    this.result.hidden = false;
    const [first, second] = result.models.map((model) => model.slice(0, 8));
    const undo = result.last ? el("button", { type: "button", onclick: () => this.undo() }, say("common.undo"), " ", el("kbd", { "aria-hidden": "true" }, "Ctrl+Z")) : "";
    const open = this.result.querySelector("details")?.open ?? false;
    const line = [];
    if (result.interval) {
      const [low, high] = result.interval;
      const at = (share) => `${(100 * share).toFixed(1)}%`;
      const about = { model: first, share: percent(result.share), low: percent(low), high: percent(high) };
      line.push(
        el("div.scale", { role: "img", "aria-label": say("compare.preferred", about) }, el("span.half"), el("span.range", { style: `left:${at(low)};width:${at(high - low)}` }), el("span.point", { style: `left:${at(result.share)}` })),
        el("p", {}, say("compare.preferred", about), " ", el("strong", {}, result.better ? say("compare.better", { model: result.better.slice(0, 8) }) : say("compare.undecided"))),
      );
    }
    const details = el("details", {}, el("summary", {}, say("compare.result")), el("p", {}, say("compare.counts", { n: result.votes, a: number(result.wins[0]), first, b: number(result.wins[1]), second, same: number(result.same) })), line);
    details.open = open;
    this.result.replaceChildren(el("div.row", {}, el("span.votes_so_far", {}, say("compare.answers", { n: result.votes })), el("span.grow"), undo), details);
  }

  key(event) {
    if (typing(event) || event.altKey || !this.root.isConnected) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.shiftKey) this.undo();
    else if (event.ctrlKey || event.metaKey) return;
    else if (event.key === "ArrowLeft") this.vote("left");
    else if (event.key === "ArrowRight") this.vote("right");
    else if (event.key === "ArrowDown") this.vote("same");
    else if (event.key === "n") this.next();
    else return;
    event.preventDefault();
  }
}

export default (component) => mount(component, Compare);
