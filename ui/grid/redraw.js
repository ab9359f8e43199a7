// Drawing the map: a job that is begun, watched and given up here.

const GLANCE = 700; // ms between two looks at it

class Redraw {
  /** `does`: {drawn(), changed(), stopped(sentence), failed(error)}. */
  constructor(collection, does) {
    this.collection = collection;
    this.does = does;
    this.bar = el("progress", { max: 1, value: 0, "aria-label": say("common.progress") });
    this.words = el("span.grow", { role: "status" });
    this.stop = el("button", { type: "button", onclick: () => this.cancel() }, say("common.cancel"));
    this.root = el("div.redraw", { hidden: true }, el("div.row", {}, this.words, this.stop), this.bar);
  }

  destroy() {
    this.gone = true;
    clearTimeout(this.timer);
  }

  /** Watch one that runs already, begun in another window or by a program. */
  async find() {
    const jobs = await get(`/v1/jobs?${inUrl({ collection: this.collection, limit: 20 })}`);
    const running = jobs.items.find((job) => job.kind === "map" && !FINISHED.includes(job.state));
    if (running && !this.job) this.watch(running);
  }

  async begin(again) {
    try {
      this.watch(await post(of(this.collection, "maps"), { again }));
      tell("jobs", {});
    } catch (error) {
      this.does.failed(error);
    }
  }

  watch(job) {
    if (this.gone) return;
    this.job = job;
    this.root.hidden = false;
    this.bar.value = job.progress;
    this.words.textContent = job.message ? `${say("map.drawing")} ${lineOf(job)}` : say(job.state === "queued" ? "map.waiting" : "map.drawing");
    this.timer = setTimeout(() => this.look(), GLANCE);
  }

  async look() {
    try {
      const job = await get(`/v1/jobs/${this.job.id}`);
      if (!FINISHED.includes(job.state)) return this.watch(job);
      this.over();
      if (job.state === "failed") this.does.failed(new Sentence(failureOf(job)));
      if (job.state === "succeeded") this.does.drawn();
      if (job.state === "cancelled") this.does.stopped(say("map.stopped"));
    } catch (error) {
      if (error.status === 404) return this.over();
      if (!this.gone) this.timer = setTimeout(() => this.look(), 4 * GLANCE); // the API is away for a moment; the job is not
    }
  }

  over() {
    this.job = null;
    this.root.hidden = true;
    this.does.changed();
  }

  async cancel() {
    this.stop.disabled = true;
    try {
      await post(`/v1/jobs/${this.job.id}/cancel`);
    } catch (error) {
      this.does.failed(error);
    }
    this.stop.disabled = false;
  }
}
