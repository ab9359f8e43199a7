// What the points of a map are coloured by, and the legend that says so and hides what is not wanted.

const FETCHED = { class: "classes", prediction: "predictions", folder: "folders" }; // of the API; groups come with the map
const BY = [...Object.keys(FETCHED), "group"];
const NAMED = 60; // chips of a legend; the smaller ones share one
const MOSTLY = 0.5; // the share of a group that must have one name for the group to be called so

class Colouring {
  /** `does`: {painted(look), chosen(by), failed(error)}. */
  constructor(collection, does) {
    this.collection = collection;
    this.does = does;
    this.by = "class";
    this.columns = {}; // by → {version, names, name, probability}
    this.hidden = new Set(); // places in `names`, -1 for those without one
    this.colours = new Map(); // class → its own colour
    this.choice = el("select", { "aria-label": say("map.colour_by"), onchange: () => does.chosen(this.choice.value) }, BY.map((by) => el("option", { value: by }, say(`map.by_${by}`))));
    this.legend = el("div.chips.legend", { role: "group", "aria-label": say("map.legend") });
  }

  /** The columns of another map, or of other labels: what was fetched is fetched anew. */
  forget() {
    this.columns = {};
  }

  /** Colour by something else; where that is not possible, say why and stay. True when it was. */
  async use(by, map) {
    try {
      await this.fetch(by);
    } catch (error) {
      this.choice.value = this.by;
      if (error.name !== "AbortError") this.does.failed(error.kind === "TooFewLabels" ? new Sentence(say("map.no_predictions")) : error);
      return false;
    }
    if (by !== this.by) this.hidden.clear();
    this.by = this.choice.value = by;
    this.show(map);
    return true;
  }

  /** Fetch a column, once. */
  async fetch(by) {
    if (!(by in FETCHED)) return;
    this.columns[by] ??= await get(of(this.collection, `map/${FETCHED[by]}`));
  }

  /** A column of this very map; null where it is not here. */
  column(by, map) {
    if (by === "group") return { names: map.clusters.map(({ cluster }) => say("map.group", { number: String(cluster) })), name: this.inOrder(map) };
    return this.columns[by]?.version === map.version ? this.columns[by] : null;
  }

  /** Whether what is shown is of another map than this one: one of the two is to be fetched again. */
  isStale(map) {
    return this.column(this.by, map) === null;
  }

  /** Each row's cluster as a place in `clusters`, the largest first. */
  inOrder(map) {
    const place = new Map(map.clusters.map(({ cluster }, at) => [cluster, at]));
    return map.cluster.map((cluster) => place.get(cluster) ?? -1);
  }

  show(map) {
    this.map = map;
    const { names, name, probability } = this.column(this.by, map) ?? { names: [], name: new Array(map.ids.length).fill(-1) };
    const counts = new Array(names.length + 1).fill(0); // the last is of those without a name
    for (const at of name) counts[at < 0 ? names.length : at] += 1;
    const classes = this.by === "class" || this.by === "prediction";
    const order = names.map((_, at) => at).filter((at) => counts[at]);
    if (!classes) order.sort((a, b) => counts[b] - counts[a]);
    this.rank = new Map(order.map((at, rank) => [at, rank])); // colours go to the largest first, and stay while things are hidden
    const own = (at) => (classes && this.colours.get(names[at])) || PALETTE[(this.rank.get(at) ?? 0) % PALETTE.length];
    this.look = {
      group: Int32Array.from(name),
      alpha: probability ? Float32Array.from(probability, (p) => 0.15 + 0.85 * p * p) : null,
      visible: new Uint8Array(name.length),
      red: names.map((_, at) => channels(own(at))[0]),
      green: names.map((_, at) => channels(own(at))[1]),
      blue: names.map((_, at) => channels(own(at))[2]),
      shapes: names.map((_, at) => ((this.rank.get(at) ?? 0) + Math.floor((this.rank.get(at) ?? 0) / PALETTE.length)) % SHAPES.length),
    };
    this.drawLegend(names, counts, order, own);
    this.tellPainted();
  }

  tellPainted() {
    const { group, visible } = this.look;
    for (let row = 0; row < group.length; row += 1) visible[row] = this.hidden.has(group[row]) ? 0 : 1;
    this.does.painted(this.look);
  }

  drawLegend(names, counts, order, own) {
    const chip = (ats, text, n, mark) => {
      const shown = !ats.every((at) => this.hidden.has(at));
      return el(
        "button.chip",
        { type: "button", "aria-pressed": String(shown), title: say(shown ? "map.hide" : "map.show", { name: text }), onclick: () => this.toggle(ats) },
        mark,
        text,
        el("span.quiet", {}, number(n)),
      );
    };
    const mark = (at) => el("span.mark", { "aria-hidden": "true", style: `--colour:${own(at)};clip-path:${clipped(this.look.shapes[at])}` });
    const [first, rest] = [order.slice(0, NAMED), order.slice(NAMED)];
    drawAnew(this.legend, [
      ...first.map((at) => chip([at], names[at], counts[at], mark(at))),
      rest.length ? chip(rest, say("map.others", { n: rest.length }), rest.reduce((sum, at) => sum + counts[at], 0), "") : "",
      counts[names.length] && this.by !== "group" ? chip([-1], say(`map.none_${this.by}`), counts[names.length], el("span.mark", { "aria-hidden": "true", style: `--colour:rgb(${GREY});clip-path:${clipped(0)}` })) : "",
      this.hidden.size ? el("button.link", { type: "button", onclick: () => (this.hidden.clear(), this.show(this.map)) }, say("map.show_all")) : "",
    ]);
  }

  toggle(ats) {
    const hide = ats.some((at) => !this.hidden.has(at));
    for (const at of ats) hide ? this.hidden.add(at) : this.hidden.delete(at);
    this.show(this.map);
  }

  /** What a picture is said to be: its name in a column, with how sure that is; null where nothing is said of it. */
  said(by, row) {
    const column = this.column(by, this.map);
    const at = column?.name[row] ?? -1;
    return at < 0 ? null : { name: column.names[at], sure: column.probability?.[row] };
  }

  /** What most of some pictures are, by the first way of telling that has an answer; null when they are many things. */
  mostly(rows, ways) {
    for (const by of ways) {
      const column = by === "group" ? null : this.column(by, this.map);
      if (!column) continue;
      const counts = new Map();
      for (const row of rows) if (column.name[row] >= 0) counts.set(column.name[row], (counts.get(column.name[row]) ?? 0) + 1);
      const [best, n] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a), [-1, 0]);
      if (n > MOSTLY * rows.length) return { by, name: column.names[best], share: percent(n / rows.length) };
    }
    return null;
  }
}
