// Searches to come back to: those of this browser, newest first, and those saved in the collection under a name.

const KEPT = 30; // searches of this browser, a collection
const BURST = 300; // ms between two of which only the last is kept: a slider on its way

class Remembered {
  /** `does`: {open(search), now(): search, picture(id), say(text), fail(error)}. */
  constructor(collection, does) {
    this.collection = collection;
    this.does = does;
    this.saved = [];
    this.named = el("div"); // what stands below the form, which may be half filled in when the list comes
    this.past = new Menu(say("search.history"), () => this.pastPanel());
    this.kept = new Menu(say("search.saved"), () => this.keptPanel());
    this.kept.button.addEventListener("click", () => this.refresh());
  }

  get place() {
    return `likeness.searches.${this.collection}`;
  }

  history() {
    try {
      return JSON.parse(localStorage.getItem(this.place) ?? "[]");
    } catch {
      return [];
    }
  }

  /** Keep a search, once, at the front. */
  note(search) {
    if (!search.positive.length) return;
    const key = JSON.stringify(search);
    const goesOn = Date.now() - (this.noted ?? 0) < BURST;
    this.noted = Date.now();
    const others = this.history().slice(goesOn ? 1 : 0).filter((one) => JSON.stringify(one.search) !== key);
    localStorage.setItem(this.place, JSON.stringify([{ at: new Date().toISOString(), search }, ...others].slice(0, KEPT)));
  }

  async refresh() {
    try {
      this.saved = (await get(of(this.collection, "searches"))).items;
      this.drawNamed();
    } catch (error) {
      this.does.fail(error);
    }
  }

  line(search, name, extra) {
    const faces = [...search.positive.slice(0, 4).map((id) => el("img.yes", { src: this.does.picture(id), alt: "" })), ...search.negative.slice(0, 2).map((id) => el("img.no", { src: this.does.picture(id), alt: "" }))];
    const menu = extra ? this.kept : this.past;
    return el("li", {}, el("button.plain.row", { type: "button", onclick: () => (menu.close(), this.does.open(search)) }, faces, el("span", {}, name)), extra ?? "");
  }

  pastPanel() {
    const past = this.history();
    if (!past.length) return el("p.quiet", {}, say("search.no_history"));
    return [
      el("ul", {}, past.map(({ at, search }) => this.line(search, when(at)))),
      el("button.link", { type: "button", onclick: () => (localStorage.removeItem(this.place), this.past.close()) }, say("search.forget_history")),
    ];
  }

  keptPanel() {
    const name = el("input", { type: "text", "aria-label": say("search.name"), placeholder: say("search.name"), maxlength: "100", required: true });
    const form = el("form.row", { onsubmit: (event) => (event.preventDefault(), this.keep(name.value.trim(), form)) }, name, el("button.primary", {}, say("search.save")));
    this.drawNamed();
    return [this.does.now().positive.length ? form : "", this.named];
  }

  drawNamed() {
    const list = this.saved.map((one) => this.line(one, one.name, el("button.plain", { type: "button", "aria-label": say("search.forget", { name: one.name }), onclick: () => this.forget(one.id) }, "✕")));
    this.named.replaceChildren(list.length ? el("ul", {}, list) : el("p.quiet", {}, say("search.none_saved")));
  }

  async keep(name, form) {
    if (!name) return;
    const { positive, negative, filter, wish } = this.does.now();
    try {
      await save(of(this.collection, "searches"), { name, positive, negative, filter, ...wish });
      this.does.say(say("search.was_saved", { name }));
      form.reset();
      await this.refresh();
    } catch (error) {
      this.does.fail(error);
    }
  }

  async forget(id) {
    try {
      await save(of(this.collection, `searches/${id}`), undefined, "DELETE");
      await this.refresh();
    } catch (error) {
      this.does.fail(error);
    }
  }
}
