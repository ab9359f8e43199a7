// The models of a collection: which one is active, and any other one click away.

class ModelList {
  constructor(toast, changed) {
    this.toast = toast;
    this.changed = changed; // hears when another model has become the active one
    this.status = el("p", { role: "status" });
    this.list = el("ul.models");
    this.root = el("section", { "aria-label": say("train.models") }, el("h2", {}, say("train.models")), el("p.quiet.small", {}, say("train.models_about")), this.status, this.list);
  }

  destroy() {
    this.gone = true;
  }

  show(collection, models) {
    if (this.collection !== collection.name) this.before = null;
    this.collection = collection.name;
    this.active = collection.active_model;
    this.root.hidden = !models.length;
    const back = models.find((one) => one.fingerprint === (this.before ?? models.find((one) => one.fingerprint === this.active)?.started_from));
    if (!this.making) this.status.replaceChildren(this.active ? say("train.active_now", { model: this.active.slice(0, 8) }) : say("train.none_active"), " ", back && back.fingerprint !== this.active ? el("button", { type: "button", onclick: () => this.adopt(back.fingerprint) }, say("train.go_back", { model: back.fingerprint.slice(0, 8) })) : "");
    this.list.replaceChildren(...models.map((model) => this.model(model)));
  }

  model({ fingerprint, backbone, image_size: size, training, created_at: created, started_from: from, has_report: reported }) {
    const short = fingerprint.slice(0, 8);
    const about = [`${backbone}, ${size} px`, training.epochs ?? training.settings?.epochs ? say("train.n_epochs", { n: training.settings?.epochs ?? training.epochs }) : "", when(created), say("train.from", { start: from.slice(0, 20) })].filter(Boolean).join(" · ");
    const report = reported ? el("a", { href: `/v1/models/${fingerprint}/report?format=html`, target: "_blank", rel: "noopener", "aria-label": say("train.report_of", { model: short }) }, say("train.report")) : "";
    const use = fingerprint === this.active ? el("span.state.succeeded", {}, say("train.active")) : el("button", { type: "button", "aria-label": say("train.use_model", { model: short }), disabled: Boolean(this.making), onclick: () => this.adopt(fingerprint) }, say("train.use_this"));
    return el("li.row", {}, el("code", {}, short), el("span.quiet", {}, about), report, el("span.grow"), use);
  }

  /** Make a model the active one; where it has no index yet, that is made first, and it becomes active then. */
  async adopt(fingerprint) {
    const [collection, before] = [this.collection, this.active];
    const short = fingerprint.slice(0, 8);
    this.making = true;
    for (const button of this.root.querySelectorAll("button")) button.disabled = true;
    try {
      try {
        await save(of(collection), { active_model: fingerprint }, "PATCH");
      } catch (error) {
        if (error.kind !== "NoIndex") throw error;
        const job = await ended(await post(of(collection, "indexes"), { model: fingerprint }), () => !this.gone, (now) => this.status.replaceChildren(say("train.index_first", { model: short, message: lineOf(now) })));
        if (job.state !== "succeeded") throw new Sentence(job.state === "failed" ? failureOf(job) : lineOf(job));
      }
      this.before = before;
      tellOthers("images", collection);
    } catch (error) {
      this.toast.fail(error);
    }
    this.making = false;
    if (!this.gone) this.changed();
  }
}
