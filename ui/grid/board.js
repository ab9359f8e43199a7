// A grid with everything around it that the gallery, the search and the predictions share:
// what the selection can do, labels by key, the large view, undo, and one sentence for whatever goes wrong.

const ROOM = 380; // the least height in pixels
const QUERY = 100; // the API searches with at most this many pictures
const AGAIN = 3000; // ms between two looks whether the API is back

/** A state as one text, the same whatever the order of its keys, and whether a value is a number or an address's text. */
const asText = (state) =>
  JSON.stringify(state, (_, value) => {
    if (typeof value === "number" || typeof value === "boolean") return String(value);
    return value && typeof value === "object" && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort()) : value;
  });

/** What Python was told and will repeat in `data`: an echo, which must not undo what the person has done since. */
class Told {
  constructor() {
    this.open = [];
  }

  add(state) {
    this.open.push(asText(state));
  }

  /** True when `state` is such an echo. Python answers in order, but may skip some. */
  isEcho(state) {
    const at = this.open.indexOf(asText(state));
    if (at >= 0) this.open.splice(0, at + 1);
    return at >= 0;
  }
}

class Board {
  constructor(root, data) {
    this.root = root;
    this.collection = data.collection;
    root.classList.add("board");
    this.bar = el("div.bar", { role: "toolbar", "aria-label": say("board.shown") });
    this.body = el("div.body");
    this.toast = new Toast(root);
    this.told = new Told();
    this.labels = new Labels(this.collection, this.toast);
    this.grid = new PictureGrid(this.body, this.actions());
    this.grid.size = Number(localStorage.getItem("likeness.size")) || 168;
    this.chosen = new Chosen(this);
    this.filters = new Filters((filter) => this.narrow(filter), (key) => [...new Set(this.grid.items.map((item) => item?.image[key]).filter(Boolean))].sort().slice(0, 200));
    this.viewer = new Viewer(root, this);
    this.status = el("span.quiet.count", { role: "status" });
    root.append(this.bar, this.filters.chips, this.body, this.chosen.bar);
    this.fitWindow = () => fitWindow(root, ROOM, (high) => (root.style.height = high));
    window.addEventListener("resize", this.fitWindow);
    this.fresh = settled(() => this.reload({ keepPlace: true }), 700);
    this.deaf = hear((said) => (said.collection === this.collection ? this.heard(said.what) : said.what === "slow" && this.slow()));
    requestAnimationFrame(this.fitWindow);
    setTimeout(this.fitWindow, 400); // once the page above has its final height
  }

  destroy() {
    window.removeEventListener("resize", this.fitWindow);
    clearTimeout(this.waiting);
    this.fresh.stop();
    this.deaf();
    this.grid.destroy();
  }

  /** Do something; what goes wrong is said. False when it went wrong. */
  async safely(f) {
    try {
      await f();
      return true;
    } catch (error) {
      this.toast.fail(error);
      if (error.status === 409) this.refreshClasses(); // a class that was removed elsewhere
      if (error.kind === "ClassGone") this.reload({ keepPlace: true }); // and from these pictures
      return false;
    }
  }

  actions() {
    return {
      open: (position) => this.viewer.open(position),
      similar: (images) => images.length && this.similar(images.slice(0, QUERY).map((image) => image.id)),
      label: (key) => this.safely(() => this.giveKey(key)),
      unlabel: () => this.safely(() => this.unlabel()),
      undo: () => this.turnBack("undo"),
      redo: () => this.turnBack("redo"),
      remove: () => this.safely(() => this.chosen.remove()),
      help: () => shortcuts(this.root, this.keys()),
      everything: () => this.everything?.(),
      cut: (n) => this.toast.say(say("board.only_first", { n, total: this.grid.total })),
      changed: () => this.changed(),
      failed: (error) => this.toast.fail(error),
    };
  }

  keys() {
    const line = (keys, key) => [keys, say(`keys.${key}`)];
    return [
      line("← → ↑ ↓", "move"),
      line("Click", "click"),
      line("Space", "space"),
      line("Ctrl+A", "all"),
      line("Esc", "escape"),
      line("Enter", "enter"),
      line("S", "similar"),
      line("1 … 9", "class"),
      line("0", "unclass"),
      line("Ctrl+Z", "undo"),
      line("Ctrl+Shift+Z", "redo"),
      line("Delete", "remove"),
      line("?", "help"),
    ];
  }

  async refreshClasses() {
    await this.labels.refresh().catch((error) => this.toast.fail(error));
    this.grid.colours = this.labels.colours();
    this.filters.classes = this.labels.classes;
    this.grid.repaint();
    this.classesChanged?.();
  }

  heard(what) {
    if (what === "labels" || what === "classes") this.refreshClasses();
    if (what === "images") this.fresh();
  }

  slow() {
    if (this.grid.canvas.getAttribute("aria-busy") === "true") this.status.textContent = say("common.slow");
  }

  /** Fetch what is shown again; says in place of the pictures when that cannot be done. */
  async reload(how = {}) {
    clearTimeout(this.waiting);
    try {
      await this.grid.load((offset, limit, signal) => this.page(offset, limit, signal), { empty: this.emptyText(), ...how });
      return true;
    } catch (error) {
      if (error.name === "AbortError") return false;
      if (!(error instanceof Sentence)) return this.toast.fail(error);
      this.grid.scroller.hidden = true;
      this.grid.nothing.hidden = false;
      this.grid.nothing.replaceChildren(el("p", { role: "alert" }, error.message), el("button", { type: "button", onclick: () => this.reload() }, say("common.try_again")));
      this.grid.layout.total = 0;
      this.status.textContent = "";
      if (error.status === 0 || error.status === 503) this.waiting = setTimeout(() => this.reload(), AGAIN); // it may be back by itself
      return false;
    }
  }

  // --- labels

  turnBack(which) {
    return this.safely(async () => {
      try {
        if (await this.labels.back(which)) this.fresh();
      } catch (error) {
        if (error.kind === "ApiDown") this.fresh(); // it may have been done all the same
        throw error;
      }
    });
  }

  async giveKey(key) {
    const meant = this.chosen.meant(); // when the key was pressed
    const name = await this.labels.called(key);
    if (!name) return this.toast.say(say("board.no_such_key", { key }));
    await this.chosen.label(name, "yes", meant);
  }

  async give(images, name, answer = "yes") {
    if (!images.length || !name) return;
    const said = await this.labels.give(images, name, answer);
    this.grid.repaint();
    this.labelled(images.length, name, answer, said.class);
  }

  /** `called`: what the class is called now, where somebody else has renamed or merged it since it was shown. */
  labelled(n, name, answer, called) {
    const words = say(answer === "none" ? "board.unlabelled" : "board.labelled", { n, name: called ?? name });
    this.toast.say(called && called !== name ? `${calledNow(name, called)} ${words}` : words, { action: () => this.grid.does.undo() });
    this.grid.canvas.focus({ preventScroll: true });
  }

  /** Take the class away from each picture that has one: one action a class. */
  async unlabel() {
    const { selection } = this.grid;
    const labelled = this.grid.chosen().filter((image) => image.class);
    for (const name of new Set(labelled.map((image) => image.class))) {
      if (selection.everything || selection.listed) await this.chosen.label(name, "none");
      else await this.give(labelled.filter((image) => image.class === name), name, "none");
    }
  }

  changed() {
    this.status.textContent = this.countText();
    this.chosen.draw();
  }

  // --- tools that every board has

  sizeSlider() {
    return el("input.size", {
      type: "range",
      min: "88",
      max: "360",
      step: "8",
      value: String(this.grid.size),
      title: say("board.size"),
      "aria-label": say("board.size"),
      oninput: (event) => {
        this.grid.size = Number(event.target.value);
        localStorage.setItem("likeness.size", event.target.value);
        this.grid.fit();
      },
    });
  }

  helpButton() {
    return el("button.plain", { type: "button", title: say("board.shortcuts_key"), "aria-label": say("board.shortcuts"), onclick: () => shortcuts(this.root, this.keys()) }, "?");
  }

  search(words, onchange) {
    return el("input.text", { type: "search", placeholder: words, "aria-label": words, oninput: onchange, value: "" });
  }
}
