// How good the classifier is, and when to stop: everything follows the labels while they are given.

const SOON_ENOUGH = 0.01; // accuracy: ten more labels that bring less than this are hardly worth a person's time

class Report {
  constructor(root, data) {
    this.collection = data.collection;
    root.classList.add("report");
    this.body = el("div.probe", { role: "status" });
    this.place = el("div");
    root.append(this.body, this.place);
    this.root = root;
    this.following = new Following(
      this.collection,
      (said) => this.draw(said),
      (error) => this.drawn || this.body.replaceChildren(el("p.bad", { role: "alert" }, error.message)),
    );
  }

  destroy() {
    this.following.stop();
    this.close();
  }

  update() {} // it follows by itself

  draw({ probe, head, rest }) {
    const follows = head === null;
    if (follows && this.measured) return this.body.querySelector(".follows")?.replaceChildren(rest); // what was measured a moment ago stays
    this.drawn = true;
    this.measured = !follows;
    const wide = (content) => el("div.wide", { tabindex: "0", role: "group", "aria-label": content.getAttribute("aria-label") }, content); // scrolls on a phone
    const section = (title, about, ...content) => el("section", {}, el("h2", {}, title), about ? el("p.quiet.small", {}, about) : "", ...content);
    this.body.replaceChildren(
      ...[
        head ? el("p.figure", {}, head) : "",
        el("p.quiet", {}, rest),
        el("p.quiet.small.follows", {}),
        el(
          "div.sections",
          {},
          probe?.confusion ? section(say("report.confusion"), say("report.confusion_about"), wide(confusionTable(probe, (actual, predicted) => this.open({ actual, predicted })))) : "",
          probe?.per_class ? section(say("report.per_class"), say("report.per_class_about"), wide(perClassTable(probe.per_class))) : "",
          probe?.reliability ? section(say("report.reliability"), say("report.reliability_about"), wide(reliabilityTable(probe.reliability))) : "",
          probe?.curve ? section(say("report.curve"), worthInWords(probe), learningCurve(probe.curve)) : "",
          probe ? this.stopping(probe, section) : "",
        ),
      ].filter(Boolean),
    );
  }

  /** When to stop: what ten more labels are worth, and what a random sample says is still to be found. */
  stopping({ curve, audit }, section) {
    const verdict = !curve ? say("report.too_early") : curve.interval[1] < SOON_ENOUGH ? say("report.enough", { most: points(curve.interval[1]) }) : say("report.not_enough", { most: points(curve.interval[1]) });
    const sample = audit.sample ? say("report.sample", { n: audit.sample, total: audit.images }) : say("report.no_sample");
    const ask = el("button", { type: "button", onclick: () => this.tell("queue", "audit") }, say("report.label_sample"));
    return section(say("report.stop"), verdict, audit.classes.length ? auditTable(audit) : "", el("p.quiet.small", {}, sample), ask);
  }

  open(cell) {
    this.close();
    const root = el("div.behind");
    this.place.append(root);
    this.behind = new Behind(root, { collection: this.collection, cell }, { close: () => this.close(), similar: (ids) => this.tell("similar", ids) });
    root.scrollIntoView({ block: "nearest" });
  }

  close() {
    this.behind?.destroy();
    this.behind = null;
    this.place.replaceChildren();
  }
}

export default (component) => mount(component, Report);
