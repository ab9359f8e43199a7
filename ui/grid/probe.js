// How good the classifier is: accuracy, and the confusion table that opens its pictures.

class Report {
  constructor(root, data) {
    this.collection = data.collection;
    this.body = el("div.probe", { role: "status" });
    root.append(this.body);
    this.deaf = hear(({ what, collection }) => what === "labels" && collection === this.collection && this.draw());
  }

  destroy() {
    this.deaf();
  }

  update(data) {
    if (this.collection === data.collection && this.drawn) return;
    this.collection = data.collection;
    this.drawn = true;
    this.draw();
  }

  async draw() {
    try {
      const { probe, head, rest } = await learned(this.collection);
      const open = (labelled, predicted) => this.tell("pictures", { class: labelled, predicted });
      this.body.replaceChildren(el("p.figure", {}, head), el("p.quiet", {}, rest), probe?.confusion ? el("div.wide", {}, confusionTable(probe, open), el("p.quiet", {}, say("label.confusion_about"))) : "");
    } catch (error) {
      this.body.replaceChildren(el("p.bad", {}, error.message));
    }
  }
}

export default (component) => mount(component, Report);
