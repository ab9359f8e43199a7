// What a training will cost: some of its steps are taken on this machine, for ten seconds.

class Cost {
  /** `body` gives what the training would be started with. */
  constructor(body) {
    this.body = body;
    this.button = el("button", { type: "button", onclick: () => this.measure() }, say("train.estimate"));
    this.said = el("div.said", { role: "status" });
    this.root = el("div.cost", {}, this.said);
  }

  destroy() {
    this.turn = null;
  }

  /** Other settings: what was measured is not of them. */
  forget() {
    this.turn = null;
    this.button.disabled = false;
    this.said.replaceChildren();
  }

  async measure() {
    const turn = (this.turn = {});
    const { collection, ...body } = this.body();
    this.button.disabled = true;
    this.said.replaceChildren(el("p.quiet", {}, say("train.estimating")));
    try {
      const job = await ended(await post(of(collection, "trainings/estimate"), body), () => this.turn === turn, (now) => this.said.replaceChildren(el("p.quiet", {}, now.state === "queued" ? say("train.estimate_waits") : say("train.estimating"))));
      if (this.turn !== turn) return;
      if (job.state === "succeeded") this.show(job.result);
      else this.said.replaceChildren(el("p.bad", {}, job.state === "failed" ? failureOf(job) : lineOf(job)));
    } catch (error) {
      if (this.turn === turn) this.said.replaceChildren(el("p.bad", {}, error.message));
    }
    if (this.turn === turn) this.button.disabled = false;
  }

  show(cost) {
    const about = { epochs: number(cost.epochs), n: cost.pictures, rate: number(Math.round(cost.views_per_second)), size: String(cost.image_size), batch: number(cost.batch_size) };
    const figure = (name, value, more) => el("div.figure", {}, el("dt", {}, name), el("dd", {}, value), el("dd.quiet.small", {}, more));
    const parts = Object.entries(cost.parts).map(([name, seconds]) => say(`train.part_${name}`, { time: lasting(seconds) })).join(" · ");
    this.said.replaceChildren(
      el(
        "dl",
        {},
        figure(say("train.cost_time"), lasting(cost.seconds), parts),
        figure(say(cost.device === "cuda" ? "train.cost_gpu" : "train.cost_memory"), megabytes(cost.memory_mb * 1e6), say("train.cost_memory_about")),
        figure(say("train.cost_disk"), megabytes(cost.disk_mb * 1e6), say("train.cost_disk_about")),
      ),
      el("p.small.quiet", {}, say(cost.device === "cuda" ? "train.measured_gpu" : "train.measured", about)),
    );
  }
}
