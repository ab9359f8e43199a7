// Search: pictures to look like, pictures not to look like, and what was found. Refining asks the API from here;
// Python is told afterwards, so that the address in the browser is one that reopens this search.

const WISHES = ["min_score", "group", "variety"]; // how the list is made, beside what is searched with
const numbers = (given) => Object.fromEntries(WISHES.filter((name) => given[name] !== undefined && given[name] !== "").map((name) => [name, Number(given[name])]));
const idsIn = (text) => (text ?? "").split(",").filter(Boolean).map((id) => (/^\d+$/.test(id) ? Number(id) : id));

class Search extends Board {
  constructor(root, data) {
    super(root, data);
    Object.assign(this, { positive: [], negative: [], filter: {}, wish: {} });
    this.remembered = new Remembered(data.collection, {
      open: (search) => (this.take({ negative: [], filter: {}, wish: search, ...search }), this.tellQuery()), // a saved one has its wishes beside the rest
      now: () => this.query(),
      picture: (id) => this.picture(id),
      say: (text) => this.toast.say(text),
      fail: (error) => this.toast.fail(error),
    });
    this.ticked = new Ticked(this);
    this.strip = new Strip({ label: this.ticked.menu.root, without: (id) => this.without(id), add: (files, adding) => this.bring(files, adding), startOver: () => this.startOver(), menus: [this.remembered.past.root, this.remembered.kept.root] });
    this.find = this.search(say("search.find"), settled(() => this.filters.set("text", this.find.value.trim()), 250));
    this.wishes = new Menu(say("search.wishes"), () => this.wishPanel());
    this.took = null; // ms that the API searched
    this.end = this.endAt = null; // what the API says of the alike ones' end, and the position that this is
    this.hint = el("p.hint.quiet.small");
    this.bar.replaceChildren(this.find, this.filters.menu.root, this.wishes.root, this.hint, this.status, this.sizeSlider(), this.helpButton());
    root.prepend(this.strip.root);
    this.tellSoon = settled(() => {
      this.told.add(this.query());
      this.tell("query", this.query());
    }, 300);
    root.addEventListener("dragover", (event) => {
      event.preventDefault();
      root.classList.add("over");
    });
    root.addEventListener("dragleave", (event) => !root.contains(event.relatedTarget) && root.classList.remove("over"));
    root.addEventListener("drop", (event) => this.drop(event));
    this.paste = (event) => this.pasted(event);
    document.addEventListener("paste", this.paste);
    this.back = () => this.fromAddress(); // Streamlit does not run the page again for a step back within it
    window.addEventListener("popstate", this.back);
  }

  destroy() {
    document.removeEventListener("paste", this.paste);
    window.removeEventListener("popstate", this.back);
    this.tellSoon.stop();
    super.destroy();
  }

  actions() {
    return { ...super.actions(), refine: (images, sign) => this.refine(images, sign), why: (image) => this.why(image) };
  }

  keys() {
    return [["+", say("keys.more_like")], ["-", say("keys.less_like")], ["W", say("keys.why")], ["Ctrl+V", say("keys.paste")], ...super.keys()];
  }

  query() {
    return { positive: this.positive, negative: this.negative, filter: this.filter, wish: this.wish };
  }

  picture(id) {
    return this.strip.faces.get(id) ?? (typeof id === "number" ? `/v1/images/${id}/preview` : `/v1/queries/${id}/preview`);
  }

  update(data) {
    const given = JSON.stringify([data.collection, data.query]);
    if (this.given === given) return;
    this.given = given;
    if (this.told.isEcho(data.query)) return;
    this.collection = this.labels.collection = this.remembered.collection = data.collection;
    this.refreshClasses();
    this.take(data.query);
  }

  take({ positive, negative, filter, wish }) {
    this.positive = [...positive];
    this.negative = [...negative];
    this.filter = readFilter(filter);
    this.wish = numbers(wish);
    this.find.value = this.filter.text ?? "";
    this.again();
  }

  fromAddress() {
    const address = Object.fromEntries(new URLSearchParams(location.search));
    if (!location.pathname.endsWith("/search") || address.c !== this.collection) return;
    this.tellSoon.stop();
    this.take({ positive: [...idsIn(address.like), ...idsIn(address.query)], negative: idsIn(address.not), filter: address, wish: address });
    this.told.add(this.query()); // Python reads the same address when it runs next
  }

  /** Search with what is chosen now. */
  again() {
    this.grid.marks = new Map([...this.positive.map((id) => [id, "yes"]), ...this.negative.map((id) => [id, "no"])]);
    this.grid.selection.clear();
    this.strip.draw(this.positive, this.negative);
    this.filters.show(this.filter);
    this.drawWishes();
    this.hint.textContent = say(this.positive.length ? "search.refine" : "search.words_only");
    return this.reload();
  }

  changed() {
    super.changed();
    if (this.endAt !== null) this.drawEnd(this.endAt); // the grid has these hits now
    this.wishes?.root.toggleAttribute("hidden", !this.positive.length);
  }

  classesChanged() {
    this.ticked.drawClasses();
  }

  /** Keep what is searched with in the history, at once, for the person may leave; the address follows. */
  tellQuery() {
    this.remembered.note(this.query());
    this.tellSoon();
  }

  /** The same, and the address follows. */
  renew() {
    this.tellQuery();
    return this.again();
  }

  narrow(filter) {
    this.filter = filter;
    this.renew();
    this.filters.menu.changed();
  }

  // --- how the list is made

  drawWishes() {
    for (const name of WISHES) {
      if (this.wish[name] === undefined) continue;
      const words = say(`search.${name}_is`, { value: this.wish[name].toFixed(2) });
      this.filters.chips.hidden = false;
      this.filters.chips.append(el("button.chip", { type: "button", "aria-label": say("filter.remove", { words }), onclick: () => this.want(name, null) }, words, el("span.quiet", { "aria-hidden": "true" }, "✕")));
    }
  }

  want(name, value) {
    const { [name]: _, ...others } = this.wish;
    this.wish = value === null ? others : { ...others, [name]: value };
    this.renew();
  }

  wishPanel() {
    const slider = (name, min, max, none) => {
      const input = el("input", { id: `wish-${name}`, type: "range", min, max, step: "0.01", value: String(this.wish[name] ?? none), onchange: () => this.want(name, Number(input.value) === none ? null : Number(input.value)), oninput: () => (shown.value = input.value) });
      const shown = el("output", {}, input.value);
      return [el("label", { for: `wish-${name}` }, say(`search.${name}`), el("span.quiet.small", {}, say(`search.${name}_help`))), el("span.row", {}, input, shown)];
    };
    return el("div.fields", {}, slider("min_score", "-1", "1", -1), slider("group", "0.5", "1", 1), slider("variety", "0", "1", 0));
  }

  /** The line where the alike ones seem to end, `at` pictures down; 0: even the best may be there by chance. */
  drawEnd(at) {
    const { end } = this;
    const reason = end && sentenceFor(end.reason, end.said);
    if (at === 0) this.hint.textContent = `${say("search.end_none")} ${reason}`;
    if (!at || this.grid.layout.breakAt === at) return;
    const button = (words, onclick) => el("button", { type: "button", onclick }, words);
    this.grid.breakBefore(
      at,
      el("span.grow", { title: reason }, say("search.end", { score: end.score.toFixed(2) }), " ", el("span.quiet.small", {}, reason)),
      button(say("search.end_select", { n: at }), () => this.grid.range(0, at - 1)),
      button(say("search.end_cut"), () => this.want("min_score", end.score)),
    );
  }

  /** Where a page of hits falls below the end's score; null when it does not, or the list has an order of its own. */
  endWithin(offset, hits) {
    if (!this.end || this.wish.min_score !== undefined || this.wish.variety) return null;
    const below = hits.findIndex(({ score }) => score < this.end.score);
    if (below < 0 || (below === 0 && offset > 0 && !(this.grid.items[offset - 1]?.score >= this.end.score))) return null;
    return offset + below;
  }

  async page(offset, limit, signal) {
    const { filter } = this;
    if (!this.positive.length) {
      const list = await get(of(this.collection, `images?${inUrl({ offset, limit, ...filter, sort: filter.text ? "name" : "random" })}`), signal);
      return { ...list, items: list.items.map((image) => ({ image })) };
    }
    const found = await post(of(this.collection, "search"), { positive: this.positive, negative: this.negative, offset, limit, filter, ...this.wish }, signal);
    this.end ??= found.end;
    if (offset === 0) this.took = found.took_ms;
    this.endAt ??= this.endWithin(offset, found.hits);
    return { items: found.hits, total: found.total };
  }

  async reload(how) {
    this.end = this.endAt = null;
    return super.reload(how);
  }

  /** What a filter says. What was found has no filter: it is every picture but those searched with, or fewer. */
  everything() {
    if (this.positive.length) return null;
    return Object.keys(this.filter).length ? this.filter : EVERY_PICTURE;
  }

  countText() {
    if (!this.positive.length) return pictureCount(this.grid.total);
    return say("search.count", { n: this.grid.total, ms: this.took < 10 ? (this.took ?? 0).toFixed(1) : String(Math.round(this.took)) });
  }

  emptyText() {
    if (this.filter.text) return say("search.none_called", { text: this.filter.text });
    return say(Object.keys(this.filter).length || Object.keys(this.wish).length ? "gallery.none_match" : "search.none_yet");
  }

  // --- what is searched with

  similar(ids) {
    this.positive = ids;
    this.negative = [];
    this.renew();
  }

  refine(images, sign) {
    const [to, from] = sign === "yes" ? ["positive", "negative"] : ["negative", "positive"];
    if (!this.positive.length && sign === "no") return this.toast.say(say("search.needs_positive"));
    for (const { id } of images) {
      if (sign === "no" && this.positive.length === 1 && this.positive[0] === id) return this.toast.say(say("search.needs_one"));
      this[from] = this[from].filter((other) => other !== id);
      this[to] = this[to].includes(id) ? this[to].filter((other) => other !== id) : [...this[to], id].slice(-QUERY);
    }
    if (!this.positive.length) return this.startOver();
    this.renew();
  }

  without(id) {
    this.positive = this.positive.filter((other) => other !== id);
    this.negative = this.positive.length ? this.negative.filter((other) => other !== id) : [];
    this.renew();
  }

  startOver() {
    this.positive = [];
    this.negative = [];
    this.wish = {};
    this.renew();
  }

  why(image) {
    const [query] = this.positive;
    if (query === undefined) return this.toast.say(say("search.needs_positive"));
    this.safely(() => whyAlike(this.root, this.collection, query, image, (id) => this.picture(id)));
  }

  // --- pictures from outside

  /** Make queries of files and search with them, all at once; `adding` keeps what is searched with already. */
  async bring(files, adding = false) {
    const made = [];
    await this.safely(async () => {
      for (const file of files.slice(0, QUERY)) {
        if (files.length > 1) this.toast.say(say("search.reading", { done: made.length + 1, total: files.length }));
        const body = new FormData();
        body.append("file", file, file.name || "pasted.png");
        const { query_id, preview } = await call("POST", of(this.collection, "queries"), body);
        this.strip.faces.set(query_id, preview);
        made.push(query_id);
      }
    });
    if (!made.length) return;
    if (files.length > 1) this.toast.hide();
    this.positive = adding ? [...this.positive, ...made].slice(-QUERY) : made;
    if (!adding) this.negative = [];
    this.renew();
  }

  drop(event) {
    event.preventDefault();
    this.root.classList.remove("over");
    const adding = event.shiftKey || (this.positive.length > 0 && event.target.closest?.(".strip") !== null);
    const files = [...event.dataTransfer.files].filter((file) => file.type.startsWith("image/") || /\.(heic|heif|avif|tiff?)$/i.test(file.name));
    if (files.length) return this.bring(files, adding);
    if (event.dataTransfer.files.length) return this.toast.say(say("search.no_picture"), { bad: true });
    const id = Number(/\/v1\/images\/(\d+)\/preview/.exec(event.dataTransfer.getData("text/uri-list"))?.[1]); // a tile of ours
    if (!id) return;
    const ids = this.grid.selection.images.has(id) ? [...this.grid.selection.images.keys()].slice(0, QUERY) : [id];
    if (!adding) return this.similar(ids);
    this.positive = [...new Set([...this.positive, ...ids])].slice(-QUERY);
    this.renew();
  }

  pasted(event) {
    if (typing(event)) return;
    const files = [...(event.clipboardData?.files ?? [])].filter((one) => one.type.startsWith("image/"));
    if (files.length) this.bring(files, false);
  }
}

export default (component) => mount(component, Search);
