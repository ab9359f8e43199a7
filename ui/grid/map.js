// The map: every picture where those like it are. What is drawn around, or a group of the list, is shown beside it in the
// same grid as everywhere, selected, so that one action labels, searches with, exports or removes all of it.

const MOST = 100_000; // pictures that the API takes by their ids at once
const JUDGED = 3; // typical pictures by which a group is judged
const SWAPPED = 3; // times that map and colours are fetched again when the collection changes between the two

class PictureMap extends Board {
  constructor(root, data) {
    super(root, data);
    root.classList.add("map");
    this.ids = null; // of what is chosen, in the order of the grid; null while the groups are listed
    this.guesses = new Set(); // clusters whose predictions are a guess: they are like nothing that is labelled
    this.filters.chips.remove(); // the legend is the map's filter
    this.colouring = new Colouring(this.collection, {
      painted: (look) => this.painted(look),
      chosen: (by) => this.colourBy(by),
      failed: (error) => this.toast.fail(error),
    });
    this.plot = new Plot({
      open: (row) => this.safely(() => this.openPoint(row)),
      lasso: (rows) => this.lassoed(rows),
      hover: (row, x, y) => this.hovered(row, x, y),
      other: (event) => this.otherKey(event),
    });
    this.card = new PointCard(this.plot.root, (row) => this.about(row));
    this.groups = new Clusters({ choose: (which, title) => this.chooseGroup(which, title) });
    this.redraw = new Redraw(this.collection, { drawn: () => this.load(), changed: () => this.sayMissing(), stopped: (sentence) => this.toast.say(sentence), failed: (error) => this.toast.fail(error) });
    this.back = el("button", { type: "button", onclick: () => this.unchoose() }, say("map.all_groups"));
    this.title = el("h2.grow");
    this.heading = el("div.row.heading", { hidden: true }, this.title, this.back);
    this.side = el("div.aside", {}, this.groups.root, this.heading, this.body);
    this.split = el("div.split", {}, this.plot.root, this.side);
    this.nothing = el("div.message", { hidden: true });
    this.missing = el("div.row.missing", { hidden: true });
    this.bar.after(this.colouring.legend, this.missing, this.redraw.root, this.nothing, this.split);
    this.tools = new MapTools(this.plot);
    this.anew = el("button", { type: "button", title: say("map.anew_about"), onclick: () => this.drawAnew() }, say("map.anew"));
    this.colourLine = el("label.row", {}, el("span", { "aria-hidden": "true" }, say("map.colour_by")), this.colouring.choice);
    this.bar.append(this.colourLine, this.tools.lasso, this.tools.pictures, this.anew, el("span.grow"), this.status, this.sizeSlider(), this.helpButton());
    this.changedOutside = settled(() => this.load(), 400);
    this.recolour = settled(() => this.safely(() => this.colourAgain()), 250);
    this.listGroups();
    this.load();
  }

  destroy() {
    this.abort?.abort();
    for (const timer of [this.changedOutside, this.recolour]) timer.stop();
    clearTimeout(this.later);
    this.redraw.destroy();
    this.plot.destroy();
    this.card.hide();
    super.destroy();
  }

  update({ view }) {
    this.plot.later(); // the theme may have changed
    const given = JSON.stringify(view);
    if (this.given === given) return;
    this.given = given;
    if (this.told.isEcho(view)) return;
    this.wanted = BY.includes(view.by) ? view.by : "class";
    if (this.map && this.wanted !== this.colouring.by) this.colouring.use(this.wanted, this.map);
  }

  // --- the map and its colours

  /** Fetch the map and what it is coloured by; where there is none, say what to do. */
  async load(tries = SWAPPED) {
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    clearTimeout(this.later);
    try {
      this.redraw.find().catch(() => {}); // what is asked next says what is wrong
      const [map] = await Promise.all([get(of(this.collection, "map"), signal), this.refreshClasses()]);
      if (signal.aborted) return;
      this.colouring.colours = this.labels.colours();
      this.colouring.forget();
      this.take(map);
      if (!(await this.colouring.use(this.wanted ?? "class", map))) await this.colouring.use("class", map);
      if (this.colouring.isStale(map) && tries) return this.load(tries - 1);
      await this.judgeGroups();
    } catch (error) {
      if (error.name !== "AbortError") this.failed(error);
    }
  }

  take(map) {
    const first = !this.map;
    this.map = map;
    this.points = new Points(map);
    this.members = new Map(map.clusters.map(({ cluster }) => [cluster, []]));
    map.cluster.forEach((cluster, row) => this.members.get(cluster)?.push(row));
    this.middles = new Map([...this.members].filter(([, rows]) => rows.length).map(([cluster, rows]) => [cluster, [middle(rows, this.points.x), middle(rows, this.points.y)]]));
    this.plot.show(this.points);
    this.plot.canvas.setAttribute("aria-label", say("map.name", { pictures: pictureCount(map.total), groups: number(map.clusters.length) }));
    this.show(true);
    this.sayMissing();
    if (first) this.plot.fit();
    if (this.ids) {
      this.ids = this.ids.filter((id) => this.points.rowOf(id) >= 0);
      this.plot.choose(this.ids.map((id) => this.points.rowOf(id)));
      this.reload({ keepPlace: true });
    }
  }

  painted(look) {
    this.plot.paint(look);
    this.nameGroups();
  }

  /** The list of groups, and the names on the map: the shape's and the colour's meaning in words. */
  nameGroups() {
    const { by } = this.colouring;
    const called = (cluster, ways) => this.colouring.mostly(this.members.get(cluster) ?? [], this.guesses.has(cluster) ? ways.filter((way) => way !== "prediction") : ways);
    this.groups.show(this.map, (cluster) => called(cluster, [by, "prediction", "class"]));
    this.plot.names = this.map.clusters.flatMap(({ cluster }) => {
      const rows = (this.members.get(cluster) ?? []).filter(this.plot.isShown);
      const text = by === "group" ? say("map.group", { number: String(cluster) }) : called(cluster, [by])?.name;
      return text && rows.length ? [{ text, x: this.middles.get(cluster)[0], y: this.middles.get(cluster)[1] }] : [];
    });
    this.plot.later();
  }

  async colourBy(by) {
    if (!this.map || !(await this.colouring.use(by, this.map))) return;
    this.wanted = by;
    const view = by === "class" ? {} : { by };
    this.told.add(view);
    this.tell("view", view);
  }

  /** Labels have changed: so have the classes and the predictions. */
  async colourAgain() {
    if (!this.map) return;
    this.colouring.colours = this.labels.colours();
    this.colouring.forget();
    if (!(await this.colouring.use(this.colouring.by, this.map))) await this.colouring.use("class", this.map);
    if (this.colouring.isStale(this.map)) return this.load();
    await this.judgeGroups();
  }

  /** Learn what groups are predicted to be, and where that is only a guess; without predictions their classes must do. */
  async judgeGroups() {
    const { map } = this;
    const typical = new Map(map.clusters.flatMap(({ cluster, representatives }) => representatives.slice(0, JUDGED).map((id) => [id, cluster])));
    const [, { items }] = await Promise.all([this.colouring.fetch("prediction").catch(() => {}), post(of(this.collection, "images/list"), { image_ids: [...typical.keys()] }).catch(() => ({ items: [] }))]);
    if (this.map !== map) return;
    const strange = new Map();
    for (const { id, predicted } of items) if (predicted?.fits === false) strange.set(typical.get(id), (strange.get(typical.get(id)) ?? 0) + 1);
    this.guesses = new Set([...strange].filter(([, n]) => n > JUDGED / 2).map(([cluster]) => cluster));
    this.nameGroups();
  }

  show(there) {
    for (const part of [this.split, this.colouring.legend, this.colourLine, this.anew, this.tools.lasso, this.tools.pictures]) part.hidden = !there;
    this.nothing.hidden = there;
  }

  /** No map, or none to be had. */
  failed(error) {
    this.map = null;
    this.show(false);
    this.missing.hidden = true;
    this.status.textContent = "";
    if (error.kind === "NoMap") {
      this.nothing.replaceChildren(el("p", {}, say("map.none")), el("button.primary", { type: "button", onclick: () => this.redraw.begin(false) }, say("map.draw")));
      return;
    }
    if (!(error instanceof Sentence)) return this.toast.fail(error);
    this.nothing.replaceChildren(el("p", { role: "alert" }, error.message), el("button", { type: "button", onclick: () => this.load() }, say("common.try_again")));
    if (error.status === 0 || error.status === 503) this.later = setTimeout(() => this.load(), AGAIN);
  }

  sayMissing() {
    const n = this.map?.missing ?? 0;
    this.missing.hidden = !n || Boolean(this.redraw.job);
    this.missing.replaceChildren(el("span", { role: "status" }, say("map.missing", { n })), el("button", { type: "button", onclick: () => this.redraw.begin(false) }, say("map.place")));
    if (this.map) this.status.textContent = this.countText();
  }

  async drawAnew() {
    if (await ask(this.root, say("map.ask_anew"), say("map.anew"), { harmless: true })) await this.redraw.begin(true);
  }

  // --- choosing

  lassoed(rows) {
    if (!rows.length) return this.toast.say(say("map.none_inside"));
    this.tools.setLasso(false);
    this.choose(rows.map((row) => this.points.ids[row]), say("map.drawn_around"));
  }

  chooseGroup(which, title) {
    const typical = which === "outliers" ? this.map.outliers : this.map.clusters.find(({ cluster }) => cluster === which).representatives;
    const others = which === "outliers" ? [] : this.members.get(which).map((row) => this.points.ids[row]);
    this.choose([...new Set([...typical, ...others])], title);
    if (this.ids) this.plot.lookAt(this.ids.map((id) => this.points.rowOf(id)));
  }

  /** Show these pictures beside the map, all of them selected. */
  async choose(ids, title) {
    if (ids.length > MOST) return this.toast.say(say("map.too_many", { n: MOST }), { bad: true });
    this.ids = ids;
    this.plot.choose(ids.map((id) => this.points.rowOf(id)));
    this.title.textContent = say("map.chosen", { title, pictures: pictureCount(ids.length) });
    this.listGroups();
    this.grid.selection.these(ids);
    await this.reload();
    this.grid.canvas.focus({ preventScroll: true });
  }

  unchoose() {
    this.ids = null;
    this.plot.choose(null);
    this.grid.selection.clear();
    this.chosen.draw();
    this.listGroups();
    this.plot.canvas.focus({ preventScroll: true });
  }

  listGroups() {
    this.groups.root.hidden = this.ids !== null;
    this.heading.hidden = this.body.hidden = this.ids === null;
  }

  async reload(how) {
    return this.ids !== null && super.reload(how);
  }

  /** A page of what is chosen. Pictures that have left the collection meanwhile leave the list too. */
  async page(offset, limit, signal) {
    for (;;) {
      const asked = this.ids.slice(offset, offset + limit);
      const { items } = asked.length ? await post(of(this.collection, "images/list"), { image_ids: asked }, signal) : { items: [] };
      if (items.length === asked.length) return { items: items.map((image) => ({ image })), total: this.ids.length };
      const gone = new Set(asked);
      for (const { id } of items) gone.delete(id);
      this.ids = this.ids.filter((id) => !gone.has(id));
    }
  }

  everything() {
    return [...this.ids];
  }

  emptyText() {
    return say("map.none_left");
  }

  countText() {
    return this.map ? say("map.count", { pictures: pictureCount(this.map.total) }) : "";
  }

  // --- what happens around it

  heard(what) {
    if (what === "labels" || what === "classes") this.refreshClasses().then(() => this.recolour());
    if (what === "images") this.changedOutside();
  }

  actions() {
    return { ...super.actions(), varied: (images) => this.tell("varied", images.map(({ id }) => id)) };
  }

  similar(ids) {
    this.tell("similar", ids);
  }

  async openPoint(row) {
    this.card.hide();
    this.viewer.look(await get(`/v1/images/${this.points.ids[row]}`), true);
  }

  hovered(row, x, y) {
    if (row < 0 || this.viewer.dialog.open) return this.card.hide();
    this.card.show(this.points.ids[row], row, x, y, { aloud: this.plot.hand.keyed });
  }

  /** What the map knows of a picture. */
  about(row) {
    const [given, guess] = ["class", "prediction"].map((by) => this.colouring.said(by, row));
    return [
      given && say("grid.labelled_as", { name: given.name }),
      guess && say("grid.looks_like", { name: guess.name, sure: percent(guess.sure) }),
      say("map.group", { number: String(this.map.cluster[row]) }),
    ].filter(Boolean);
  }

  /** A key on the map that neither moves nor zooms: what is selected beside it obeys here too. */
  otherKey(event) {
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    if (!command && key === "l") this.tools.setLasso(!this.plot.hand.lassoing);
    else if (key === "escape" && this.plot.hand.lassoing) this.tools.setLasso(false);
    else if (key === "escape" && this.ids) this.unchoose();
    else if (this.grid.selection.size || command || key === "?") return this.grid.key(event);
    else return;
    event.preventDefault();
  }

  keys() {
    const line = (keys, key) => [keys, say(`map.key_${key}`)];
    return [line("← → ↑ ↓", "move"), line("+ −", "zoom"), line("Home", "whole"), line("Enter", "open"), line("L", "lasso"), line("Shift+Drag", "drag"), line("Esc", "escape"), ...super.keys()];
  }
}

export default (component) => mount(component, PictureMap);
