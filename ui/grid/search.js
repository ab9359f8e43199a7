// Search: pictures to look like, pictures not to look like, and what was found. Refining asks the API from here;
// Python is told afterwards, so that the address in the browser is one that reopens this search.

class Search extends Board {
  constructor(root, data) {
    super(root, data);
    this.positive = [];
    this.negative = [];
    this.faces = new Map(); // picture or query id → preview address
    this.view = { text: "" };
    this.file = el("input", { type: "file", accept: "image/*", hidden: true, "aria-label": "Picture to search with", onchange: () => this.file.files[0] && this.ask(this.file.files[0]) });
    this.strip = el("div.strip", { role: "group", "aria-label": "Searching with" });
    this.find = this.search("Only file name, class or folder", settled(() => this.narrow(this.find.value.trim()), 250));
    this.took = el("span.quiet.small");
    this.hint = el("p.hint.quiet.small");
    this.bar.replaceChildren(this.find, this.hint, this.took, this.status, this.sizeSlider(), this.helpButton());
    root.prepend(this.strip, this.file);
    this.tellQuery = settled(() => {
      this.told.add(this.query());
      this.tell("query", this.query());
    }, 300);
    root.addEventListener("dragover", (event) => {
      event.preventDefault();
      root.classList.add("over");
    });
    root.addEventListener("dragleave", (event) => event.target === root && root.classList.remove("over"));
    root.addEventListener("drop", (event) => this.drop(event));
    this.paste = (event) => this.pasted(event);
    document.addEventListener("paste", this.paste);
    this.back = () => this.fromAddress(); // Streamlit does not run the page again for a step back within it
    window.addEventListener("popstate", this.back);
  }

  destroy() {
    document.removeEventListener("paste", this.paste);
    window.removeEventListener("popstate", this.back);
    this.tellQuery.stop();
    super.destroy();
  }

  actions() {
    const all = super.actions();
    return { ...all, refine: (image, sign) => this.refine(image, sign) };
  }

  keys() {
    return [["+", "More like this"], ["-", "Less like this"], ["Ctrl+V", "Search with a copied picture"], ...super.keys()];
  }

  query() {
    return { positive: this.positive, negative: this.negative, text: this.view.text };
  }

  update(data) {
    const given = JSON.stringify([data.collection, data.query]);
    if (this.given === given) return;
    this.given = given;
    if (this.told.isEcho(data.query)) return;
    this.collection = this.labels.collection = data.collection;
    this.refreshClasses();
    this.take(data.query);
  }

  take({ positive, negative, text }) {
    this.positive = [...positive];
    this.negative = [...negative];
    this.view.text = text;
    this.find.value = text;
    this.again();
  }

  fromAddress() {
    const address = new URLSearchParams(location.search);
    if (!location.pathname.endsWith("/search") || address.get("c") !== this.collection) return;
    const ids = (name) => (address.get(name) ?? "").split(",").filter(Boolean).map((id) => (/^\d+$/.test(id) ? Number(id) : id));
    this.tellQuery.stop();
    this.take({ positive: [...ids("like"), ...ids("query")], negative: ids("not"), text: address.get("text") ?? "" });
    this.told.add(this.query()); // Python reads the same address when it runs next
  }

  /** Search with what is chosen now. */
  again() {
    this.grid.marks = new Map([...this.positive.map((id) => [id, "yes"]), ...this.negative.map((id) => [id, "no"])]);
    this.grid.selected.clear();
    this.drawStrip();
    return this.reload();
  }

  drawStrip() {
    const face = (id, sign) =>
      el(
        `span.face.${sign}`,
        { title: sign === "yes" ? "Like this" : "Not like this" },
        el("img", { src: this.faces.get(id) ?? (typeof id === "number" ? `/v1/images/${id}/preview` : `/v1/queries/${id}/preview`), alt: typeof id === "number" ? `Picture ${id}` : "Your picture" }),
        el("button", { type: "button", "aria-label": "Take it out of the search", onclick: () => this.without(id) }, "✕"),
      );
    const choose = el("button", { type: "button", onclick: () => this.file.click() }, "Choose a picture");
    const searching = this.positive.length > 0;
    this.strip.classList.toggle("empty", !searching);
    this.strip.replaceChildren(
      ...(searching
        ? [
            el("span.label", {}, "Like"),
            ...this.positive.map((id) => face(id, "yes")),
            ...(this.negative.length ? [el("span.label", {}, "not like"), ...this.negative.map((id) => face(id, "no"))] : []),
            el("span.grow"),
            choose,
            el("button", { type: "button", onclick: () => this.startOver() }, "New search"),
          ]
        : [el("strong", {}, "Drop a picture here, paste one (Ctrl+V), or"), choose, el("span.quiet", {}, "or double-click any picture below.")]),
    );
    this.hint.textContent = searching
      ? "✓ on a picture: more like it; ✗: less like it."
      : "Words find file names, classes and folders. Likeness itself is visual: “red car” finds something only where a file, class or folder is called that.";
  }

  async page(offset, limit, signal) {
    const { text } = this.view;
    if (!this.positive.length) {
      const list = await get(of(this.collection, `images?${inUrl({ offset, limit, text, sort: text ? "name" : "random" })}`), signal);
      this.took.textContent = "";
      return { ...list, items: list.items.map((image) => ({ image })) };
    }
    const body = { positive: this.positive, negative: this.negative, offset, limit, filter: text ? { text } : {} };
    const found = await post(of(this.collection, "search"), body, signal);
    this.took.textContent = `${found.took_ms < 10 ? found.took_ms.toFixed(1) : Math.round(found.took_ms)} ms`;
    return { items: found.hits, total: found.total };
  }

  countText() {
    return this.positive.length ? `${count(this.grid.total, "picture")}, most alike first` : count(this.grid.total, "picture");
  }

  emptyText() {
    return this.view.text
      ? `No file, class or folder is called “${this.view.text}”. Likeness is visual: start from a picture instead of words.`
      : "There is nothing to search yet. Add pictures on the Collections page.";
  }

  similar(ids) {
    this.positive = ids;
    this.negative = [];
    this.again();
    this.tellQuery();
  }

  refine(image, sign) {
    const [to, from] = sign === "yes" ? ["positive", "negative"] : ["negative", "positive"];
    if (!this.positive.length && sign === "no") return this.toast.say("Start with a picture to look like.");
    if (sign === "no" && this.positive.length === 1 && this.positive[0] === image.id) return this.toast.say("The search needs one picture to look like.");
    this[from] = this[from].filter((id) => id !== image.id);
    this[to] = this[to].includes(image.id) ? this[to].filter((id) => id !== image.id) : [...this[to], image.id];
    if (!this.positive.length) return this.startOver();
    this.again();
    this.tellQuery();
  }

  without(id) {
    this.positive = this.positive.filter((other) => other !== id);
    this.negative = this.positive.length ? this.negative.filter((other) => other !== id) : [];
    this.again();
    this.tellQuery();
  }

  startOver() {
    this.positive = [];
    this.negative = [];
    this.again();
    this.tellQuery();
  }

  narrow(text) {
    this.view.text = text;
    this.reload();
    this.tellQuery();
  }

  // --- a picture from outside

  async ask(file) {
    try {
      const body = new FormData();
      body.append("file", file, file.name || "pasted.png");
      const { query_id, preview } = await call("POST", of(this.collection, "queries"), body);
      this.faces.set(query_id, preview);
      this.similar([query_id]);
    } catch (error) {
      this.toast.fail(error);
    } finally {
      this.file.value = "";
    }
  }

  drop(event) {
    event.preventDefault();
    this.root.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) return this.ask(file);
    const id = Number(/\/v1\/images\/(\d+)\/preview/.exec(event.dataTransfer.getData("text/uri-list"))?.[1]); // a tile of ours
    if (id) this.similar([id]);
  }

  pasted(event) {
    const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
    if (file) this.ask(file);
  }
}

export default (component) => mount(component, Search);
