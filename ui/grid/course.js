// One training, as it runs and as it ended: how far it is, its curves, its pinned pictures, and what to do with it.

class Course {
  /** `does`: {adopt(model), ended()}. */
  constructor(toast, does) {
    this.toast = toast;
    this.does = does;
    this.watching = new Watching();
    this.head = el("div.row");
    this.bar = el("progress", { max: 1, "aria-label": say("common.progress") });
    this.words = el("p", { role: "status" });
    this.best = el("p.small.quiet");
    this.charts = el("div");
    this.after = el("div.row");
    this.root = el("article.job.course", { hidden: true }, this.head, this.bar, this.words, this.after, this.charts, this.best, this.watching.root);
  }

  destroy() {
    this.gone = true;
    clearTimeout(this.timer);
  }

  /** Follow another job, or none. */
  follow(job) {
    this.job = job;
    this.root.hidden = !job;
    this.known = null;
    if (job) this.look(job);
  }

  async look(known = null) {
    clearTimeout(this.timer);
    const { id } = this.job;
    let wait = 1000;
    if (!document.hidden || known) {
      try {
        const job = known ?? (await get(`/v1/jobs/${id}`));
        if (this.gone || this.job.id !== id) return;
        const over = FINISHED.includes(job.state);
        const [{ rows }, { evaluations }] = await Promise.all([get(`/v1/jobs/${id}/metrics`), get(`/v1/jobs/${id}/pinned`)]);
        if (this.gone || this.job.id !== id) return;
        const was = this.job.state;
        this.job = job;
        this.draw(rows, evaluations);
        if (over) {
          if (!FINISHED.includes(was)) this.does.ended();
          return;
        }
        if (job.state === "paused") wait = 3000;
      } catch (error) {
        if (this.gone) return;
        this.words.replaceChildren(el("span.bad", {}, error.message));
        wait = 3000;
      }
    }
    this.timer = setTimeout(() => this.look(), wait);
  }

  draw(rows, looks) {
    const { job } = this;
    const over = FINISHED.includes(job.state);
    const known = JSON.stringify([job.state, job.id]);
    if (known !== this.known) this.drawHead(over);
    this.known = known;
    this.bar.hidden = over;
    this.bar.value = job.progress;
    this.words.className = job.state === "failed" ? "bad" : "";
    const said = over ? outcome(job) : lineOf(job) || say(`jobs.${job.state}`);
    if (this.words.textContent !== said) this.words.textContent = said;
    const best = bestOf(rows);
    if (this.drawnRows !== `${job.id} ${rows.length}`) {
      this.drawnRows = `${job.id} ${rows.length}`;
      this.charts.replaceChildren(curves(rows));
      const stopped = job.result?.stopped;
      this.best.textContent = best && !over ? say("train.best_so_far", { epoch: number(best.epoch), quality: best.quality.toFixed(3) }) : stopped ? say("train.kept", { in: number(stopped.in_epoch), of: number(stopped.of), epoch: number(stopped.kept_epoch), quality: stopped.quality.toFixed(3) }) : "";
    }
    this.watching.show(looks);
  }

  drawHead(over) {
    const { job } = this;
    const act = (text, what, about) => el("button", { type: "button", title: about, onclick: () => this.act(what) }, text);
    const buttons = [];
    if (job.state === "running") buttons.push(act(say("jobs.pause"), "pause"));
    if (job.state === "paused") buttons.push(act(say("jobs.resume"), "resume"));
    if (["running", "paused"].includes(job.state)) buttons.push(act(say("train.keep"), "keep", say("train.keep_about")));
    if (!over) buttons.push(act(say("common.cancel"), "cancel"));
    this.drawnRows = null;
    this.head.replaceChildren(el("strong", {}, kindOf(job)), el(`span.state.${job.state}`, {}, say(`jobs.${job.state}`)), el("span.quiet.small", {}, ago(job.created_at)), el("span.grow"), ...buttons);
    this.drawAfter();
  }

  /** After it: the report, and the new model in one click. */
  drawAfter(active = this.active) {
    this.active = active;
    const made = this.job?.result?.model;
    if (!made) return this.after.replaceChildren();
    const report = el("a", { href: `/v1/models/${made}/report?format=html`, target: "_blank", rel: "noopener" }, say("train.open_report"));
    const use = made === active ? el("strong.good", {}, say("train.is_active", { model: made.slice(0, 8) })) : el("button.primary", { type: "button", onclick: () => this.does.adopt(made) }, say("train.use_new", { model: made.slice(0, 8) }));
    this.after.replaceChildren(use, report);
  }

  async act(what) {
    try {
      this.look(await post(`/v1/jobs/${this.job.id}/${what}`));
      tell("jobs", {});
    } catch (error) {
      this.toast.fail(error);
    }
  }
}
