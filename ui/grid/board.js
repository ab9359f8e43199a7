// A grid with everything around it that the gallery, the search and the predictions share:
// what the selection can do, labels by key, the large view, undo, and one sentence for whatever goes wrong.

const ROOM = 380; // the least height in pixels
const QUERY = 100; // the API searches with at most this many pictures

/** What Python was told and will repeat in `data`: an echo, which must not undo what the person has done since. */
class Told {
  constructor() {
    this.open = [];
  }

  add(state) {
    this.open.push(JSON.stringify(state));
  }

  /** True when `state` is such an echo. Python answers in order, but may skip some. */
  isEcho(state) {
    const at = this.open.indexOf(JSON.stringify(state));
    if (at >= 0) this.open.splice(0, at + 1);
    return at >= 0;
  }
}

class Board {
  constructor(root, data) {
    this.root = root;
    this.collection = data.collection;
    root.classList.add("board");
    this.bar = el("div.bar", { role: "toolbar", "aria-label": "What is shown" });
    this.body = el("div.body");
    this.chosen = el("div.chosen", { role: "toolbar", "aria-label": "Selected pictures", hidden: true });
    root.append(this.bar, this.body, this.chosen);
    this.toast = new Toast(root);
    this.told = new Told();
    this.labels = new Labels(this.collection, this.toast);
    this.grid = new PictureGrid(this.body, this.actions());
    this.grid.size = Number(localStorage.getItem("likeness.size")) || 168;
    this.viewer = new Viewer(root, this.grid);
    this.status = el("span.quiet.count", { role: "status" });
    this.fit = () => this.fitWindow();
    window.addEventListener("resize", this.fit);
    this.fresh = settled(() => this.reload({ keepPlace: true }), 700);
    this.deaf = hear(({ what, collection }) => collection === this.collection && this.heard(what));
    requestAnimationFrame(this.fit);
    setTimeout(this.fit, 400); // once the page above has its final height
  }

  destroy() {
    window.removeEventListener("resize", this.fit);
    this.fresh.stop();
    this.deaf();
    this.grid.destroy();
  }

  /** The board ends where the window ends, so that the grid scrolls and the tools stay. */
  fitWindow() {
    const scroller = this.root.getRootNode().host?.closest('[data-testid="stMain"]');
    const top = this.root.getBoundingClientRect().top + (scroller?.scrollTop ?? 0);
    this.root.style.height = `${Math.max(ROOM, window.innerHeight - top - 14)}px`;
  }

  actions() {
    const safely = (f) => async (...args) => {
      try {
        return await f(...args);
      } catch (error) {
        this.toast.fail(error);
      }
    };
    return {
      open: (position) => this.viewer.open(position),
      similar: (images) => images.length && this.similar(images.slice(0, QUERY).map((image) => image.id)),
      label: safely((key, images) => this.giveKey(key, images)),
      unlabel: safely((images) => this.unlabel(images)),
      undo: safely(async () => (await this.labels.back("undo")) && this.fresh()),
      redo: safely(async () => (await this.labels.back("redo")) && this.fresh()),
      remove: safely((images) => this.remove(images)),
      help: () => shortcuts(this.root, this.keys()),
      changed: () => this.changed(),
      failed: (error) => this.toast.fail(error),
    };
  }

  keys() {
    return [
      ["← → ↑ ↓", "Move; with Shift, select a range"],
      ["Space", "Select or deselect"],
      ["Ctrl+A", "Select all"],
      ["Esc", "Deselect all"],
      ["Enter", "Open large"],
      ["S", "Find similar"],
      ["1 … 9", "Give the class with that key"],
      ["0", "Take the class away"],
      ["Ctrl+Z", "Undo labels"],
      ["Ctrl+Shift+Z", "Redo labels"],
      ["Delete", "Remove from the collection"],
      ["?", "This list"],
    ];
  }

  async refreshClasses() {
    await this.labels.refresh().catch((error) => this.toast.fail(error));
    this.grid.colours = this.labels.colours();
    this.grid.repaint();
    this.classesChanged?.();
  }

  heard(what) {
    if (what === "labels" || what === "classes") this.refreshClasses();
    if (what === "images") this.fresh();
  }

  /** Fetch what is shown again; says in place of the pictures when that cannot be done. */
  async reload(how = {}) {
    try {
      await this.grid.load((offset, limit, signal) => this.page(offset, limit, signal), { empty: this.emptyText(), ...how });
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Sentence)) return this.toast.fail(error);
      this.grid.scroller.hidden = true;
      this.grid.nothing.hidden = false;
      this.grid.nothing.replaceChildren(el("p", {}, error.message), el("button", { type: "button", onclick: () => this.reload() }, "Try again"));
      this.grid.total = 0;
      this.status.textContent = "";
    }
  }

  // --- what a selection can do

  async giveKey(key, images) {
    const name = this.labels.withKey(key);
    if (!name) return this.toast.say(`No class has the key ${key} yet: select pictures and add a class.`);
    await this.give(images, name);
  }

  async give(images, name, answer = "yes") {
    if (!images.length || !name) return;
    await this.labels.give(images, name, answer);
    this.grid.repaint();
    const what = answer === "none" ? "without a class now" : `labelled “${name}”`;
    this.toast.say(`${count(images.length, "picture")} ${what}.`, { action: () => this.actions().undo() });
  }

  /** Take the class away from each picture that has one: one action a class. */
  async unlabel(images) {
    const labelled = images.filter((image) => image.class);
    for (const name of new Set(labelled.map((image) => image.class)))
      await this.give(
        labelled.filter((image) => image.class === name),
        name,
        "none",
      );
  }

  async remove(images) {
    if (!images.length) return;
    const which = images.length === 1 ? `“${images[0].name}”` : count(images.length, "picture");
    if (!(await ask(this.root, `Remove ${which} from “${this.collection}”? Later imports will not bring ${images.length === 1 ? "it" : "them"} back. Files in your own folders are not touched.`, "Remove"))) return;
    const { removed } = await post(of(this.collection, "images/remove"), { image_ids: images.map((image) => image.id) });
    this.grid.selected.clear();
    this.toast.say(`${count(removed, "picture")} removed.`);
    tellOthers("images", this.collection);
    await this.reload({ keepPlace: true });
  }

  changed() {
    const images = [...this.grid.selected.values()];
    this.status.textContent = this.countText();
    this.chosen.hidden = images.length === 0;
    const state = `${images.length}|${this.labels.classes.map((c) => c.name + c.key + c.colour).join("|")}`;
    if (this.chosen.hidden || this.chosen.dataset.state === state) return;
    this.chosen.dataset.state = state;
    const does = this.grid.does;
    const chosen = () => this.grid.chosen();
    const button = (text, onclick, kind = "") => el(`button${kind}`, { type: "button", onclick }, text);
    this.chosen.replaceChildren(
      el("strong", {}, `${images.length.toLocaleString("en")} selected`),
      button(images.length > 1 ? `Find similar to these ${images.length > 99 ? "" : images.length}`.trim() : "Find similar", () => does.similar(chosen()), ".primary"),
      el(
        "span.row.classes",
        { role: "group", "aria-label": "Label as" },
        el("span.quiet", {}, "Label as"),
        this.labels.classes.map(({ name, key, colour }) =>
          el("button.chip", { type: "button", onclick: () => this.safelyGive(chosen(), name) }, el("span.dot", { style: `--colour:${colour}` }), name, key ? el("kbd", {}, key) : ""),
        ),
        classForm((name) => this.safelyGive(chosen(), name)),
      ),
      el("span.grow"),
      button("Remove…", () => does.remove(chosen()), ".danger"),
      button("Clear", () => this.grid.clear()),
    );
  }

  async safelyGive(images, name) {
    try {
      await this.give(images, name);
    } catch (error) {
      this.toast.fail(error);
      return false;
    }
    this.grid.scroller.focus({ preventScroll: true });
  }

  // --- tools that every board has

  sizeSlider() {
    return el("input.size", {
      type: "range",
      min: "88",
      max: "360",
      step: "8",
      value: String(this.grid.size),
      title: "Size of the pictures",
      "aria-label": "Size of the pictures",
      oninput: (event) => {
        this.grid.size = Number(event.target.value);
        localStorage.setItem("likeness.size", event.target.value);
        this.grid.layout();
      },
    });
  }

  helpButton() {
    return el("button.plain", { type: "button", title: "Shortcuts (?)", "aria-label": "Shortcuts", onclick: () => shortcuts(this.root, this.keys()) }, "?");
  }

  search(words, onchange) {
    return el("input.text", { type: "search", placeholder: words, "aria-label": words, oninput: onchange, value: this.view?.text ?? "" });
  }
}
