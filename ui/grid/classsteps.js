// Changes of classes as steps of labelling: sent in their order, undone and done again among the answers.

class ClassSteps {
  /** Of an `Answering`. */
  constructor(part) {
    this.part = part;
  }

  /** The classes to change; once what was given before has arrived, for that may name some. */
  async open() {
    const { part } = this;
    if (this.opening) return;
    this.opening = true;
    const at = [...part.list.children].findIndex((item) => item.contains(part.root.getRootNode().activeElement));
    const name = part.labels.classes[at]?.name ?? part.offered()?.class;
    while (outbox().waiting.length && !outbox().trouble) await sleep(20);
    if (outbox().trouble) part.toast.say(outbox().trouble, { bad: true });
    else if ((await part.refreshClasses()) && !part.gone) this.show(name);
    this.opening = false;
  }

  show(name) {
    const { part } = this;
    if (!part.labels.classes.length) return part.naming.focus();
    const closed = (sentence) => {
      if (sentence) part.toast.say(sentence);
      part.stage.focus({ preventScroll: true });
    };
    new Classes(part.root, part.collection, part.labels.classes, name, { change: (change) => this.make(change), closed });
  }

  /** A class gets other values, gives its labels to another and goes, or goes with them. */
  make(change) {
    const { part } = this;
    const path = `classes/${encodeURIComponent(change.from)}`;
    const merge = [`${path}/merge`, { into: change.to }, "POST"];
    const [to, body, method] = change.gone ? [path, undefined, "DELETE"] : change.into ? merge : [path, change.values, "PATCH"];
    part.begun = true;
    // A step from now on, whether the dialog waits for it or not: what follows is sent behind it.
    const step = { change };
    part.past.push(step);
    part.future = [];
    return new Promise((saved, failed) => {
      const done = () => this.changed().then(saved);
      const refused = (sentence) => {
        part.drop(step);
        failed(new Sentence(sentence));
      };
      step.operation = outbox().add(part.collection, to, body, { method, check: this.standing(change), done, refused });
    });
  }

  /** How the API shows that it was done. */
  standing({ from, to, into, gone, values }) {
    return into || gone ? { named: from, there: false } : { named: to, there: true, ...values };
  }

  /** Undo or redo one; the names that keys stand for are right before the API has answered. */
  revert(step, which) {
    const { part } = this;
    const { change } = step;
    const { from, to, was } = change;
    const goes = change.into || change.gone;
    const back = which === "undo";
    const [now, then] = back ? [to, from] : [from, to];
    if (!goes) part.labels.classes.filter(({ name }) => name === now).forEach((one) => (one.name = then));
    else if (!back) part.labels.classes = part.labels.classes.filter(({ name }) => name !== from);
    part.drawClasses();
    const plainly = () => say(back ? "classes.undone" : "classes.redone", { name: goes ? from : then }); // its answer was lost
    const done = (said) => this.changed().then(() => part.toast.say(said ? stepSaid(which, said.action) : plainly()));
    const check = back ? { named: from, there: true, ...was } : this.standing(change);
    part.sendBack(step, which, check, done);
  }

  async changed() {
    if (this.part.gone) return;
    await this.part.refreshClasses();
    await this.part.reread();
  }
}
