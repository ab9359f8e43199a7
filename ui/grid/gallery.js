// The gallery: every picture of a collection, or those a filter keeps. Also shows predictions, one class at a time.

const USUAL = { text: "", sort: "newest", labelled: "", class: "", predicted: "", sure: 0 };

/** A view as the address holds it: without what is usual. */
const unusual = (view) => Object.fromEntries(Object.keys(USUAL).filter((name) => view[name] && view[name] !== USUAL[name]).map((name) => [name, view[name]]));

class Gallery extends Board {
  constructor(root, data) {
    super(root, data);
    this.view = { ...USUAL };
    this.find = this.search("File name, class or folder", settled(() => this.change({ text: this.find.value.trim() }), 250));
    this.sort = this.choice("Order", "sort", [["newest", "Newest first"], ["oldest", "Oldest first"], ["name", "By name"], ["random", "Shuffled"]]);
    this.labelled = this.choice("Labels", "labelled", [["", "All"], ["true", "Labelled"], ["false", "Not labelled"]]);
    this.chips = el("div.chips", { role: "group", "aria-label": "Class" });
    this.sure = el("select", { "aria-label": "How sure", onchange: (event) => this.change({ sure: Number(event.target.value) }) });
    for (const p of [0, 0.5, 0.7, 0.9]) this.sure.append(el("option", { value: String(p) }, p ? `At least ${percent(p)} sure` : "However sure"));
    this.tellView = settled(() => {
      this.told.add(unusual(this.view));
      this.tell("view", unusual(this.view));
    }, 500);
    this.back = () => this.fromAddress(); // Streamlit does not run the page again for a step back within it
    window.addEventListener("popstate", this.back);
  }

  destroy() {
    this.tellView.stop();
    window.removeEventListener("popstate", this.back);
    super.destroy();
  }

  choice(label, name, options) {
    return el("select", { "aria-label": label, onchange: (event) => this.change({ [name]: event.target.value }) }, options.map(([value, text]) => el("option", { value }, text)));
  }

  update(data) {
    const given = JSON.stringify([data.collection, data.mode, data.view]);
    if (this.given === given) return;
    this.given = given;
    if (this.told.isEcho(unusual(data.view))) return;
    this.mode = data.mode;
    this.collection = this.labels.collection = data.collection;
    const tools = this.mode === "predictions" ? [this.chips, el("span.grow"), this.sure] : [this.find, this.sort, this.labelled, this.chips, el("span.grow")];
    this.bar.replaceChildren(...tools, this.status, this.sizeSlider(), this.helpButton());
    this.refreshClasses();
    this.take(data.view);
  }

  take(view) {
    this.view = { ...USUAL, ...view };
    this.find.value = this.view.text;
    this.sort.value = this.view.sort;
    this.labelled.value = this.view.labelled;
    this.sure.value = String(this.view.sure);
    this.classesChanged();
    this.reload();
  }

  fromAddress() {
    const address = new URLSearchParams(location.search);
    if (this.mode === "predictions" || !location.pathname.endsWith("/gallery") || address.get("c") !== this.collection) return;
    this.tellView.stop();
    this.take(unusual(Object.fromEntries(address)));
    this.told.add(unusual(this.view)); // Python reads the same address when it runs next
  }

  change(part) {
    Object.assign(this.view, part);
    this.reload();
    this.classesChanged();
    this.tellView();
  }

  classesChanged() {
    const key = this.mode === "predictions" ? "predicted" : "class";
    const many = this.mode === "predictions" ? "predicted" : "labels";
    const chip = (value, text, number, colour) =>
      el("button.chip", { type: "button", "aria-pressed": String(this.view[key] === value), onclick: () => this.change({ [key]: value }) }, colour ? el("span.dot", { style: `--colour:${colour}` }) : "", text, number === null ? "" : el("span.quiet", {}, number.toLocaleString("en")));
    const classes = this.mode === "predictions" ? this.labels.classes.filter((one) => one.labels && one.predicted !== null) : this.labels.classes;
    const also = this.mode !== "predictions" && this.view.predicted ? [el("button.chip", { type: "button", "aria-pressed": "true", title: "Remove this filter", onclick: () => this.change({ predicted: "" }) }, `predicted ${this.view.predicted} ✕`)] : [];
    this.chips.replaceChildren(...also, ...(classes.length ? [chip("", this.mode === "predictions" ? "All classes" : "Any class", null), ...classes.map((one) => chip(one.name, one.name, one[many], one.colour))] : []));
  }

  async page(offset, limit, signal) {
    if (this.mode === "predictions") {
      const query = inUrl({ offset, limit, class: this.view.predicted, min_probability: this.view.sure || "" });
      return get(of(this.collection, `predictions?${query}`), signal);
    }
    const { text, sort, labelled, predicted } = this.view;
    const list = await get(of(this.collection, `images?${inUrl({ offset, limit, text, sort, labelled, predicted, class: this.view.class })}`), signal);
    return { ...list, items: list.items.map((image) => ({ image })) };
  }

  filtered() {
    return this.mode === "predictions" ? this.view.predicted || this.view.sure : this.view.text || this.view.labelled || this.view.class;
  }

  countText() {
    return count(this.grid.total, "picture");
  }

  emptyText() {
    if (this.mode === "predictions") return "No picture is predicted so.";
    if (this.view.text) return `No file, class or folder here is called “${this.view.text}”. To search by what pictures look like, select one and find similar.`;
    return this.filtered() ? "No picture matches." : "No pictures yet. Add some on the Collections page.";
  }

  heard(what) {
    super.heard(what);
    if (what === "labels" && this.mode !== "predictions") this.fresh(); // what the pictures look like to the classifier has changed
  }

  similar(ids) {
    this.tell("similar", ids);
  }
}

export default (component) => mount(component, Gallery);
