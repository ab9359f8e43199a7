// The Train page: set a training up, follow it, and choose which model is the active one.

class Train {
  constructor(root, data) {
    root.classList.add("train");
    this.toast = new Toast(root);
    this.setup = new Setup((job) => this.follow(job));
    this.models = new ModelList(this.toast, () => this.look());
    this.course = new Course(this.toast, { adopt: (model) => this.models.adopt(model), ended: () => this.look() });
    this.bad = el("p.bad", { role: "alert" });
    root.append(this.bad, this.course.root, this.setup.root, this.models.root);
    this.deaf = hear(({ what, collection }) => what === "jobs" && collection === this.collection && this.look());
  }

  destroy() {
    this.gone = true;
    this.deaf();
    for (const part of [this.setup, this.models, this.course]) part.destroy();
  }

  update({ collection }) {
    if (this.collection === collection) return;
    this.collection = collection;
    this.course.follow(null);
    this.look();
  }

  /** What the collection, its models and its newest training are now. */
  async look() {
    const name = this.collection;
    try {
      const [collection, models, { items }] = await Promise.all([get(of(name)), get("/v1/models"), get(`/v1/jobs?${inUrl({ collection: name, limit: 100 })}`)]);
      if (this.gone || name !== this.collection) return;
      this.bad.textContent = "";
      const training = items.find((job) => job.kind === "training");
      this.setup.show(collection, models.items);
      this.models.show(collection, models.items);
      this.course.active = collection.active_model;
      if (training && training.id !== this.course.job?.id) this.follow(training);
      else this.course.drawAfter(collection.active_model);
      this.setup.root.hidden = Boolean(training && !FINISHED.includes(training.state));
    } catch (error) {
      if (!this.gone) this.bad.textContent = error.message;
    }
  }

  follow(job) {
    this.setup.root.hidden = !FINISHED.includes(job.state);
    this.course.follow(job);
    tell("jobs", {});
  }
}

export default (component) => mount(component, Train);
