// One line that names a class: letters find the classes there are, Enter takes the one that is marked or makes a new one.

class Naming {
  /** `classes()` are those there are, `give(name)` does it, `away()` gives the focus back. */
  constructor({ classes, give, away }) {
    Object.assign(this, { classes, give, away });
    this.input = el("input", {
      type: "text",
      role: "combobox",
      placeholder: say("label.name_it"),
      "aria-label": say("label.name_of_class"),
      "aria-expanded": "false",
      "aria-controls": "naming-list",
      "aria-autocomplete": "list",
      autocomplete: "off",
      maxlength: "60",
      oninput: () => this.offer(),
      onkeydown: (event) => this.key(event),
      onblur: () => this.close(), // a press on the list has taken its line before
    });
    this.list = el("ul.offers", { id: "naming-list", role: "listbox", "aria-label": say("label.classes"), hidden: true });
    this.root = el("form.naming", { onsubmit: (event) => (event.preventDefault(), this.take()) }, this.input, el("kbd", { "aria-hidden": "true" }, "Enter"), this.list);
    this.names = [];
  }

  focus() {
    this.input.focus({ preventScroll: true });
    this.input.select();
  }

  offer() {
    const typed = this.input.value.trim();
    const low = typed.toLowerCase();
    const known = this.classes().map(({ name }) => name);
    const begins = known.filter((name) => name.toLowerCase().startsWith(low));
    const holds = known.filter((name) => !begins.includes(name) && name.toLowerCase().includes(low));
    const exact = known.find((name) => name === typed) ?? known.find((name) => name.toLowerCase() === low);
    this.names = typed ? [...(exact ? [exact] : []), ...[...begins, ...holds].filter((name) => name !== exact)].slice(0, 8) : [];
    this.fresh = typed && !exact ? typed : null;
    if (this.fresh) this.names.push(this.fresh);
    this.marked = 0;
    this.draw();
  }

  draw() {
    this.list.hidden = !this.names.length;
    this.input.setAttribute("aria-expanded", String(this.names.length > 0));
    this.list.replaceChildren(
      ...this.names.map((name, place) =>
        el("li", { id: `naming-${place}`, role: "option", "aria-selected": String(place === this.marked), onpointerdown: (event) => (event.preventDefault(), this.take(name)) }, name === this.fresh ? say("label.new_called", { name }) : name),
      ),
    );
    if (this.names.length) this.input.setAttribute("aria-activedescendant", `naming-${this.marked}`);
    else this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    event.stopPropagation(); // these letters are no shortcuts, ours or Streamlit's
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") {
      this.close();
      this.input.value = "";
      this.away();
    } else if (by && this.names.length) {
      this.marked = (this.marked + by + this.names.length) % this.names.length;
      this.draw();
    } else return;
    event.preventDefault();
  }

  take(name = this.names[this.marked]) {
    if (!name) return;
    this.input.value = "";
    this.close();
    this.away();
    this.give(name);
  }

  close() {
    this.names = [];
    this.draw();
  }
}
