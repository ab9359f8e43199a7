// Where a picture may have several classes: a key says yes or no of one, and the picture stays until the person goes on.
// What was not said of a class stays unknown; each answer is a step of its own, which one undo takes back.

class Toggling extends Answering {
  /** Whether the picture on show may have several classes. */
  get several() {
    return Boolean(this.pictures()[0]?.answers);
  }

  /** Yes of a class, or no where it was yes. */
  answer(name, how) {
    if (!name || !this.several || name === NONE_OF_THESE) return super.answer(name, how);
    this.decide(name, this.pictures()[0].answers[name] === "yes" ? "no" : "yes");
  }

  decide(name, answer) {
    const [image] = this.pictures();
    const { class: last, answer: said, classes, answers } = image;
    if (answers[name] === answer) return;
    this.introduce(name);
    const now = { ...answers, [name]: answer };
    const yes = Object.keys(now).filter((one) => now[one] === "yes").sort();
    const step = {
      subject: this.subject(),
      stays: true,
      body: { ...this.labels.named(name), answer, image_ids: [image.id] },
      images: [image],
      before: [{ class: last, answer: said, classes, answers }],
      after: { class: yes.at(-1) ?? null, answer: yes.length ? "yes" : null, classes: yes, answers: now },
      counts: (answer === "yes") - (answers[name] === "yes"),
    };
    this.send(step);
    this.forward(step);
    this.future = [];
  }

  /** Space: what it looks like, or the next picture where there is nothing to accept as a whole. */
  accept() {
    if (this.several) this.skip();
    else super.accept();
  }

  drawList() {
    super.drawList();
    this.accepting.lastChild.textContent = ` ${say(this.several ? "label.go_on" : "label.accept")}`;
    if (!this.several) return;
    this.accepting.disabled = false;
    const { answers } = this.pictures()[0];
    this.labels.classes.forEach(({ name, labels }, place) => {
      const button = this.list.children[place].firstElementChild;
      const said = { yes: "said_yes", no: "said_no" }[answers[name]] ?? "said_nothing";
      button.setAttribute("aria-label", `${say("label.class_labels", { name, n: labels })}, ${say(`label.${said}`)}`);
      button.classList.toggle("asked", this.subject().class === name);
      button.classList.add(said);
      button.insertBefore(el("strong.sign", { "aria-hidden": "true" }, { yes: "✓", no: "✗" }[answers[name]] ?? ""), button.children[2]);
    });
  }

  keys() {
    if (!this.several) return super.keys();
    const line = (keys, key) => [keys, say(`label.key_${key}`)];
    return [line("1 … 9", "toggle"), line("Shift+1 … 9", "no"), line("Space Enter", "go_on"), line("A", "name"), ...super.keys().slice(3)];
  }

  pressed(event) {
    const key = event.key.toLowerCase();
    const onButton = Boolean(event.composedPath()[0].closest?.("button, a, [role=option], summary"));
    const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
    if (!this.several || event.ctrlKey || event.metaKey) return super.pressed(event);
    if (event.shiftKey && digit && this.labels.withKey(digit)) this.decide(this.labels.withKey(digit), "no");
    else if (key === "enter" && !onButton) this.skip();
    else if (key === "a") this.naming.focus();
    else return super.pressed(event);
  }
}
