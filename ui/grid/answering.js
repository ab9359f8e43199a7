// What the queue and the groups share: an answer by key for the pictures on show, shown as given at once and sent behind
// the hand; undo and redo of every step; the classes, the figures beside them, and whether all is saved.

class Answering {
  /** A part says: pictures() an answer is about now, guess(), subject() on show, leave(step), comeBack(step), held() pictures, redraw(). */
  constructor(root, data) {
    this.root = root;
    this.collection = data.collection;
    root.classList.add("answering");
    this.toast = new Toast(root);
    this.labels = new Labels(this.collection, this.toast);
    this.past = []; // steps: {subject, operation?, body?, before, after}, one without a body skipped its pictures; or {change} of a class
    this.future = []; // what was undone, the latest last
    this.classSteps = new ClassSteps(this);
    this.stage = el("div.stage", { tabindex: "0", role: "group" });
    this.list = el("ul.classlist");
    this.naming = new Naming({ classes: () => this.labels.classes, give: (name) => this.answer(name), away: () => this.stage.focus({ preventScroll: true }) });
    this.learned = new Learned(this.collection);
    this.saved = el("p.saved.small", { role: "status" });
    const button = (key, text, onclick) => el("button", { type: "button", "aria-keyshortcuts": key.replace("Ctrl", "Control"), onclick }, el("kbd", {}, key), ` ${text}`);
    this.accepting = button("Space", say("label.accept"), () => this.accept());
    this.keyButtons = el(
      "div.row.keys",
      {},
      this.accepting,
      button("N", say("label.none_of_these"), () => this.noneOfThese()),
      button("U", say("label.unsure"), () => this.unsure()),
      button("S", say("label.skip"), () => this.skip()),
      button("E", say("classes.open"), () => this.classSteps.open()),
      button("Ctrl+Z", say("common.undo"), () => this.undo()),
      button("?", say("board.shortcuts"), () => this.help()),
    );
    this.aside = el("aside", { "aria-label": say("label.classes") }, el("h2", {}, say("label.what")), this.list, this.naming.root, this.keyButtons, this.saved, this.learned.root);
    this.recount = settled(() => !outbox().waiting.length && this.refreshClasses(), 250); // what the API counts, once it has all
    this.onkey = (event) => this.key(event);
    document.addEventListener("keydown", this.onkey);
    this.deaf = hear((said) => this.heard(said));
    this.fit = () => fitWindow(root, 380, (high) => root.style.setProperty("--high", high));
    window.addEventListener("resize", this.fit);
    requestAnimationFrame(this.fit);
    setTimeout(this.fit, 400); // once the page above has its final height
    this.sayState(outbox());
  }

  destroy() {
    document.removeEventListener("keydown", this.onkey);
    window.removeEventListener("resize", this.fit);
    this.learned.stop();
    this.recount.stop();
    this.deaf();
    this.gone = true;
  }

  heard({ what, collection, ...about }) {
    if (what === "outbox") this.sayState({ ...about, waiting: { length: about.waiting } });
    if (what === "classes" && collection === this.collection) this.refreshClasses();
  }

  /** Saved is said only of what the API has answered. */
  sayState({ waiting, trouble }) {
    const n = waiting.length;
    this.saved.classList.toggle("bad", Boolean(n && trouble));
    this.saved.textContent = !n ? (this.begun ? say("label.all_saved") : "") : trouble ? say("label.kept", { n, sentence: trouble }) : say("label.saving", { n });
  }

  async refreshClasses() {
    try {
      await this.labels.refresh();
      this.known = true;
    } catch (error) {
      return this.known && this.toast.fail(error); // the first time, whoever asks for pictures hears the same and says it
    }
    this.drawClasses();
    return true;
  }

  drawClasses() {
    onceLetGo(this.list, () => this.gone || this.drawList());
  }

  drawList() {
    const guess = this.offered();
    this.accepting.disabled = !guess;
    const inside = this.list.contains(this.root.getRootNode().activeElement);
    this.list.replaceChildren(...this.labels.classes.map((one) => classItem(one, guess, (name) => this.answer(name))));
    if (!this.labels.classes.length) this.list.append(el("li.quiet", {}, say("label.first_class")));
    if (inside) this.stage.focus({ preventScroll: true }); // the button that had the focus is another now
  }

  // --- answers

  /** Class, "none of these" or unsure for the pictures on show; they make way before the API has heard of it. */
  give(body, after) {
    const images = this.pictures();
    if (!images.length) return;
    const step = { subject: this.subject(), body: { ...body, image_ids: images.map(({ id }) => id) }, before: images.map(({ class: name, answer, classes, answers }) => ({ class: name, answer, ...(answers && { classes, answers }) })), after, images };
    this.send(step);
    this.forward(step);
    this.future = [];
  }

  /** `how` it came about: accepted where it was only agreed to. */
  answer(name, how = {}) {
    if (!name) return;
    if (name === NONE_OF_THESE) return this.noneOfThese();
    this.introduce(name);
    this.give({ ...this.labels.named(name), answer: "yes", ...how }, { class: name, answer: "yes" });
  }

  /** Show a class that is named for the first time. */
  introduce(name) {
    if (!this.labels.classes.some((one) => one.name === name)) this.labels.classes.push({ name, fresh: true, key: String(this.labels.classes.length + 1).replace(/^\d\d+$/, "") || null, colour: "var(--quiet)", labels: 0, predicted: null });
  }

  noneOfThese() {
    this.give({ answer: "none_of_these" }, { class: null, answer: "none_of_these" });
  }

  unsure() {
    this.give({ answer: "unsure" }, { class: null, answer: "unsure" });
  }

  accept() {
    this.answer(this.offered()?.class, { source: "suggestion" });
  }

  /** The guess, unless its class has been renamed or merged since: accepted, it would come back. */
  offered() {
    const guess = this.guess();
    return guess && (guess.class === NONE_OF_THESE || this.labels.classes.some(({ name }) => name === guess.class)) ? guess : null;
  }

  skip() {
    if (!this.subject()) return;
    this.forward({ subject: this.subject() });
    this.future = [];
  }

  /** Hand a step to the outbox; when the API refuses it, its pictures come back with the API's sentence. */
  send(step) {
    const refused = (sentence) => {
      const shown = this.past.includes(step); // or it was taken back meanwhile
      this.drop(step);
      if (this.gone) return tell("unsaved", { sentence });
      this.toast.say(sentence, { bad: true });
      if (shown) this.backward(step);
      this.reask(); // it may be refused because a class is gone, from the pictures as well
    };
    this.begun = true;
    step.nothing = false;
    const body = { ...step.body, source: step.images.length > 1 ? "bulk" : (step.body.source ?? "hand") };
    step.operation = outbox().add(this.collection, "labels", body, { done: (said, nothing) => this.done(step, said, nothing), refused });
  }

  done(step, said, nothing = false) {
    if (nothing) {
      step.nothing = true; // it was said before, so no undo takes it back
      step.never = this.future.includes(step);
    }
    const { class: given } = step.body;
    if (said?.class && said.class !== given) renamed([step.body, step.after, ...step.images], given, said.class);
    if (this.gone) return;
    if (step.never) this.reask(); // the undo of it takes nothing back, so the picture may still have that label
    if (step.body.class !== given) this.toast.say(calledNow(given, said.class)), this.reask();
    if (!outbox().waiting.length) this.recount();
    this.answered?.(step);
  }

  drop(step) {
    for (const steps of [this.past, this.future]) if (steps.includes(step)) steps.splice(steps.indexOf(step), 1);
  }

  forward(step) {
    this.past.push(step);
    this.relabel(step, step.after, 1);
    this.leave(step);
  }

  backward(step) {
    this.relabel(step, null, -1);
    this.comeBack(step);
  }

  /** Show pictures as labelled, or as they were, and count them in their classes. */
  relabel({ images = [], body, before, counts }, after, by) {
    images.forEach((image, place) => Object.assign(image, after ?? before[place]));
    const local = this.labels.classes.find(({ name }) => body && name === body.class);
    if (local) local.labels = Math.max(0, local.labels + by * (counts ?? images.length));
  }

  async undo() {
    const step = this.past.pop();
    if (!step) return this.further("undo");
    this.future.push(step);
    if (step.change) return this.classSteps.revert(step, "undo");
    if (step.body && step.nothing) step.never = true;
    else if (step.body && !outbox().withdraw(step.operation)) this.revert(step, "undo", step.before[0]);
    else if (step.body) step.never = true; // it was not sent, so there is nothing to take back
    this.backward(step);
  }

  async redo() {
    const step = this.future.pop();
    if (!step) return this.further("redo");
    if (step.change) return this.past.push(step), this.classSteps.revert(step, "redo");
    if (step.body && step.never) this.send(step);
    else if (step.body) this.revert(step, "redo", step.after);
    step.never = false;
    this.forward(step);
  }

  revert(step, which, state) {
    const wanted = state.answers ? { answers: state.answers } : { class: state.class, answer: state.answer };
    const check = { image: step.images[0].id, ...wanted };
    this.sendBack(step, which, check, () => this.done(step));
  }

  /** Hand the undo or redo of a step to the outbox. */
  sendBack(step, which, check, done) {
    const refused = (sentence) => this.toast.say(sentence, { bad: true });
    outbox().add(this.collection, `labels/${which}`, {}, { check, done, refused, turns: step.operation });
  }

  /** What was labelled before this sitting, or elsewhere. */
  async further(which) {
    try {
      if (await this.labels.back(which)) await this.reask();
    } catch (error) {
      this.toast.fail(error);
      if (error.kind === "ApiDown") await this.reask(); // it may have been done all the same
    }
  }

  async reask() {
    await this.refreshClasses();
    await this.reread();
  }

  /** What the pictures at hand are called and taken for, in the names that there are now. */
  async reread() {
    const images = this.held();
    const now = await Promise.all(images.map(({ id }) => get(`/v1/images/${id}`).catch(() => null)));
    if (this.gone || outbox().waiting.length) return; // what was given meanwhile is newer
    images.forEach((image, place) => now[place] && Object.assign(image, now[place]));
    this.redraw();
  }

  // --- the keyboard

  keys() {
    const line = (keys, key) => [keys, say(`label.key_${key}`)];
    return [line("1 … 9", "class"), line("Space", "accept"), line("Enter", "name"), line("N 0", "none"), line("U", "unsure"), line("S", "skip"), line("E", "classes"), line("Ctrl+Z", "undo"), line("Ctrl+Shift+Z Ctrl+Y", "redo"), line("?", "help")];
  }

  help() {
    shortcuts(this.root, this.keys());
  }

  key(event) {
    if (typing(event) || event.altKey || document.querySelector("dialog[open]") || this.root.querySelector("dialog[open]")) return;
    if (this.pressed(event) === false) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Do what a key means; false when it means nothing here. */
  pressed(event) {
    const key = event.key.toLowerCase();
    const onButton = Boolean(event.composedPath()[0].closest?.("button, a, [role=option], summary"));
    if (event.ctrlKey || event.metaKey) {
      if (key === "z" && !event.shiftKey) this.undo();
      else if (key === "z" || key === "y") this.redo();
      else return false;
    } else if (/^[1-9]$/.test(key)) {
      const name = this.labels.withKey(key);
      if (name) return this.answer(name);
      this.toast.say(say("label.no_such_key", { key }));
      this.naming.focus();
    } else if (key === " " && !onButton) this.accept();
    else if (key === "enter" && !onButton) this.naming.focus();
    else if (key === "n" || key === "0") this.noneOfThese();
    else if (key === "s") this.skip();
    else if (key === "u") this.unsure();
    else if (key === "e") this.classSteps.open();
    else if (event.key === "?") this.help();
    else return false;
  }
}
