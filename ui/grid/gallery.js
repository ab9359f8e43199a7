// The gallery: every picture of a collection, or those a filter keeps. Also shows predictions, one class at a time.

class Gallery extends Board {
  constructor(root, data) {
    super(root, data);
    this.view = { text: "", sort: "newest", labelled: "", class: "", predicted: "", sure: 0 };
    this.find = this.search("File name, class or folder", settled((event) => this.change({ text: event.target.value.trim() }), 250));
    this.sort = this.choice("Order", "sort", [["newest", "Newest first"], ["oldest", "Oldest first"], ["name", "By name"], ["random", "Shuffled"]]);
    this.labelled = this.choice("Labels", "labelled", [["", "All"], ["true", "Labelled"], ["false", "Not labelled"]]);
    this.chips = el("div.chips", { role: "group", "aria-label": "Class" });
    this.sure = el("select", { "aria-label": "How sure", onchange: (event) => this.change({ sure: Number(event.target.value) }) });
    for (const p of [0, 0.5, 0.7, 0.9]) this.sure.append(el("option", { value: String(p) }, p ? `At least ${percent(p)} sure` : "However sure"));
    this.tellView = settled(() => this.tell("view", this.sent = JSON.stringify(this.view)), 500);
  }

  destroy() {
    this.tellView.stop();
    super.destroy();
  }

  choice(label, name, options) {
    return el("select", { "aria-label": label, onchange: (event) => this.change({ [name]: event.target.value }) }, options.map(([value, text]) => el("option", { value }, text)));
  }

  update(data) {
    const given = JSON.stringify([data.collection, data.mode, data.view]);
    if (this.given === given) return;
    this.given = given;
    if (this.mode && data.view && JSON.stringify(data.view) === this.sent) return; // Python repeats what we told it
    this.mode = data.mode;
    this.collection = this.labels.collection = data.collection;
    this.view = { ...this.view, ...data.view };
    this.find.value = this.view.text;
    this.sort.value = this.view.sort;
    this.labelled.value = this.view.labelled;
    this.sure.value = String(this.view.sure);
    const tools = this.mode === "predictions" ? [this.chips, el("span.grow"), this.sure] : [this.find, this.sort, this.labelled, this.chips, el("span.grow")];
    this.bar.replaceChildren(...tools, this.status, this.sizeSlider(), this.helpButton());
    this.refreshClasses();
    this.reload();
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
    const { classes } = this.labels;
    this.chips.replaceChildren(...(classes.length ? [chip("", this.mode === "predictions" ? "All classes" : "Any class", null), ...classes.map((one) => chip(one.name, one.name, one[many], one.colour))] : []));
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
