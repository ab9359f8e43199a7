// The classes in the hand: name, key and colour of each; the name of another one merges the two, and how many labels
// that moves is said before it is done; one that is removed takes its labels with it. Each change is a step as a label is, and one undo takes it back.

class Classes {
  /** `name` is the class to begin with. `does`: {change({from, to, into, gone, was, values}) that ends when it is saved, closed(sentence)}. */
  constructor(root, collection, classes, name, does) {
    Object.assign(this, { collection, classes, does });
    const option = (text, value) => el("option", { value }, text);
    this.which = el("select", { id: "class-which", onchange: () => this.show() }, classes.map((one, place) => option(`${one.name} (${number(one.labels)})`, String(place))));
    this.which.value = String(Math.max(0, classes.findIndex((one) => one.name === name)));
    this.name = el("input", { id: "class-name", type: "text", list: "class-names", maxlength: "100", autocomplete: "off", oninput: () => this.preview() });
    this.names = el("datalist", { id: "class-names" });
    this.key = el("select", { id: "class-key" });
    this.colour = el("input", { id: "class-colour", type: "color" });
    this.said = el("p.small", { role: "status" });
    this.go = el("button.primary", { type: "submit" });
    this.away = el("button.danger", { type: "button", onclick: () => this.remove() }, say("classes.remove"));
    const field = (input, text) => [el("label", { for: input.id }, text), input];
    const title = say("label.classes");
    this.root = el(
      "dialog.ask.classes",
      { "aria-label": title, onclose: () => this.closed() },
      el("h2", {}, title),
      el(
        "form",
        { novalidate: true, onsubmit: (event) => (event.preventDefault(), this.send()) },
        el("div.fields", {}, field(this.which, say("classes.which")), field(this.name, say("classes.name")), this.names, field(this.key, say("classes.key")), field(this.colour, say("classes.colour"))),
        this.said,
        el("div.row", {}, this.away, el("span.grow"), el("button", { type: "button", onclick: () => this.root.close() }, say("common.cancel")), this.go),
      ),
    );
    keepKeys(this.root);
    this.deaf = hear(({ what, trouble }) => what === "outbox" && this.sending && trouble && this.tell(trouble, true));
    root.append(this.root);
    this.root.showModal();
    this.show();
    this.name.focus();
    this.name.select();
  }

  /** Of the class that was chosen: what it is now. */
  show() {
    this.one = this.classes[Number(this.which.value)];
    const { name, key, colour } = this.one;
    this.name.value = name;
    this.names.replaceChildren(...this.classes.filter((one) => one !== this.one).map((one) => el("option", { value: one.name })));
    const keys = this.classes.filter((one) => one.key).map((one) => el("option", { value: one.key }, one === this.one ? one.key : say("classes.key_of", { key: one.key, name: one.name })));
    this.key.replaceChildren(...(key ? [] : [el("option", { value: "" }, say("classes.no_key"))]), ...keys);
    this.key.value = key ?? "";
    this.colour.value = colour;
    this.was = this.values();
    this.preview();
  }

  values() {
    return { name: this.name.value.trim(), key: this.key.value, colour: this.colour.value };
  }

  /** The other class whose name was given, if it is one's. */
  into() {
    const { name } = this.values();
    return this.classes.find((one) => one !== this.one && one.name === name);
  }

  /** Where labels would move: how many, before any does. */
  async preview() {
    const into = this.into();
    this.key.disabled = this.colour.disabled = Boolean(into);
    this.go.textContent = say(into ? "classes.merge" : "classes.save");
    this.go.disabled = false;
    if (!into) return this.tell(say("classes.about"));
    this.go.disabled = true;
    try {
      const { one } = this;
      const { moved } = await post(of(this.collection, `classes/${encodeURIComponent(one.name)}/merge`), { into: into.name, preview: true });
      if (one !== this.one || into !== this.into()) return; // other names by now
      this.moved = moved;
      this.tell(say("classes.would_merge", { n: moved, from: one.name, into: into.name }));
      this.go.disabled = false;
    } catch (error) {
      this.tell(error.message, true);
    }
  }

  tell(sentence, bad = false) {
    this.said.className = bad ? "small bad" : "small";
    this.said.textContent = sentence;
  }

  async send() {
    if (this.go.disabled || this.sending) return;
    const { one, was, moved: n } = this;
    const [into, now] = [this.into(), this.values()];
    const changed = (values) => Object.fromEntries(Object.keys(now).filter((field) => now[field] !== was[field]).map((field) => [field, values[field]]));
    if (!into && !Object.keys(changed(now)).length) return this.root.close();
    const done = into ? say("classes.merged", { n, from: one.name, into: into.name }) : say("classes.changed", { name: now.name });
    await this.make({ from: one.name, to: now.name, into: Boolean(into), was: changed(one), values: changed(now) }, done);
  }

  /** Hide the class with its labels; nothing is asked, for one undo brings both back. */
  async remove() {
    const { name, labels } = this.one;
    if (!this.sending) await this.make({ from: name, to: name, gone: true }, say("classes.removed", { name, n: labels }));
  }

  async make(change, done) {
    this.go.disabled = this.away.disabled = this.sending = true;
    try {
      await this.does.change(change);
      this.done = done;
      this.root.close();
    } catch (error) {
      this.tell(error.message, true);
      this.go.disabled = this.away.disabled = this.sending = false;
    }
  }

  closed() {
    this.deaf();
    this.root.remove();
    this.does.closed(this.done);
  }
}
