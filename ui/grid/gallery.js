// The gallery: every picture of a collection, or those a filter keeps. Also shows predictions, one class at a time.

const USUAL_SORT = "newest";

class Gallery extends Board {
  constructor(root, data) {
    super(root, data);
    this.sort = USUAL_SORT;
    this.filter = {};
    this.find = this.search(say("gallery.find"), settled(() => this.filters.set("text", this.find.value.trim()), 250));
    this.order = el("select", { "aria-label": say("gallery.order"), onchange: (event) => this.change(this.filter, event.target.value) }, ["newest", "oldest", "name", "random"].map((value) => el("option", { value }, say(`gallery.${value}`))));
    this.classes = el("div.chips", { role: "group", "aria-label": say("gallery.class") });
    this.sure = el("select", { "aria-label": say("gallery.how_sure"), onchange: (event) => this.narrow(readFilter({ ...this.filter, min_probability: event.target.value })) });
    for (const p of ["", 0.5, 0.7, 0.9]) this.sure.append(el("option", { value: String(p) }, p ? say("gallery.at_least", { sure: percent(p) }) : say("gallery.however_sure")));
    this.accepting = new Accepting(this, () => this.filter.predicted ?? "");
    this.tellView = settled(() => {
      this.told.add(this.view());
      this.tell("view", this.view());
    }, 500);
    this.back = () => this.fromAddress(); // Streamlit does not run the page again for a step back within it
    window.addEventListener("popstate", this.back);
  }

  destroy() {
    this.tellView.stop();
    window.removeEventListener("popstate", this.back);
    super.destroy();
  }

  /** What is shown, as the address holds it: without what is usual. */
  view() {
    return { ...filterInAddress(this.filter), ...(this.sort === USUAL_SORT ? {} : { sort: this.sort }) };
  }

  update(data) {
    const given = JSON.stringify([data.collection, data.mode, data.view]);
    if (this.given === given) return;
    this.given = given;
    if (this.told.isEcho(data.view)) return;
    this.mode = data.mode;
    this.collection = this.labels.collection = data.collection;
    const tools = this.mode === "predictions" ? [this.classes, el("span.grow"), this.sure, this.accepting.button] : [this.find, this.order, this.filters.menu.root, this.classes, el("span.grow")];
    this.bar.replaceChildren(...tools, this.status, this.sizeSlider(), this.helpButton());
    this.refreshClasses();
    this.take(data.view);
  }

  take({ sort, ...filter }) {
    this.sort = sort ?? USUAL_SORT;
    this.filter = readFilter(filter);
    this.find.value = this.filter.text ?? "";
    this.order.value = this.sort;
    this.sure.value = String(this.filter.min_probability ?? "");
    this.drawFilter();
    this.reload();
  }

  fromAddress() {
    const address = new URLSearchParams(location.search);
    if (this.mode === "predictions" || !location.pathname.endsWith("/gallery") || address.get("c") !== this.collection) return;
    this.tellView.stop();
    const { c, ...view } = Object.fromEntries(address);
    this.take(view);
    this.told.add(this.view()); // Python reads the same address when it runs next
  }

  narrow(filter) {
    this.change(filter, this.sort);
  }

  change(filter, sort) {
    this.filter = filter;
    this.sort = sort;
    this.drawFilter();
    this.filters.menu.changed();
    this.grid.selection.clear();
    this.reload();
    this.tellView();
  }

  drawFilter() {
    this.filters.show(this.mode === "predictions" ? {} : this.filter);
    this.classesChanged();
  }

  classesChanged() {
    const predictions = this.mode === "predictions";
    const key = predictions ? "predicted" : "class";
    const classes = predictions ? this.labels.classes.filter((one) => one.labels && one.predicted !== null) : this.labels.classes;
    const chip = (value, text, n, colour) =>
      el(
        "button.chip",
        { type: "button", "aria-pressed": String((this.filter[key] ?? "") === value), onclick: () => this.narrow(readFilter({ ...this.filter, [key]: value })) },
        colour ? el("span.dot", { style: `--colour:${colour}` }) : "",
        text,
        n === null ? "" : el("span.quiet", {}, number(n)),
      );
    this.classes.replaceChildren(...(classes.length ? [chip("", say(predictions ? "gallery.all_classes" : "gallery.any_class"), null), ...classes.map((one) => chip(one.name, one.name, predictions ? one.predicted : one.labels, one.colour))] : []));
  }

  async page(offset, limit, signal) {
    if (this.mode === "predictions") {
      const query = inUrl({ offset, limit, class: this.filter.predicted, min_probability: this.filter.min_probability });
      return get(of(this.collection, `predictions?${query}`), signal);
    }
    const list = await get(of(this.collection, `images?${inUrl({ offset, limit, sort: this.sort, ...this.filter })}`), signal);
    return { ...list, items: list.items.map((image) => ({ image })) };
  }

  everything() {
    if (this.mode === "predictions" && !this.filter.predicted && !this.filter.min_probability) return { min_probability: 0 };
    return Object.keys(this.filter).length ? this.filter : EVERY_PICTURE;
  }

  countText() {
    return pictureCount(this.grid.total);
  }

  emptyText() {
    if (this.mode === "predictions") return say("gallery.none_predicted");
    if (this.filter.text) return say("gallery.none_called", { text: this.filter.text });
    return say(Object.keys(this.filter).length ? "gallery.none_match" : "gallery.none_yet");
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
