// Labelling a whole group of alike pictures with one key: what is labelled is what is on show and not taken out, as one
// action, which one undo takes back. A group is a typical picture with those like it, or a cluster of the map.

const MOST = 60; // pictures of a group: as many as can be looked over
const SEEDS = 12; // typical pictures asked for at a time
const LOOK = 700; // ms between two looks at the job that draws the map
const AWAY = [0, 429, 503]; // of an API that answers again in a moment

class Groups extends Answering {
  constructor(root, data) {
    super(root, data);
    root.classList.add("groups");
    this.coming = []; // groups: {items: [{image, score?}], count, out}; the first is on show
    this.seeds = [];
    this.seen = new Set(); // pictures labelled, and seeds skipped, in this sitting
    this.title = el("strong", { role: "status" });
    this.slider = el("input", { type: "range", min: "1", "aria-label": say("groups.how_many"), oninput: () => this.cut(Number(this.slider.value)) });
    this.head = el("div.row.grouphead", {}, this.title, el("span.grow"), el("label.row.small", {}, el("span.quiet", {}, say("groups.how_many")), this.slider));
    this.tiles = el("div.picks");
    this.message = el("div.message", { hidden: true });
    this.stage.setAttribute("aria-label", say("groups.group"));
    this.stage.append(this.tiles, this.message);
    this.from = el("select.small", { "aria-label": say("groups.from"), onchange: () => this.startOver() }, ["alike", "clusters"].map((value) => el("option", { value }, say(`groups.from_${value}`))));
    root.append(el("div.left", {}, this.head, this.stage, el("p.caption.quiet.small", {}, say("groups.about"))), this.aside);
    this.aside.append(el("label.row.small", {}, el("span.quiet", {}, say("groups.from")), this.from));
  }

  update() {
    if (this.started) return;
    this.started = true;
    this.fill();
  }

  startOver() {
    this.coming = [];
    this.seeds = [];
    this.seen.clear();
    this.clusters = null;
    this.fill();
    this.stage.focus({ preventScroll: true });
  }

  // --- groups to come

  /** Hold the next group ready behind the one on show. */
  async fill() {
    if (this.filling) return;
    this.filling = true;
    try {
      if (!this.known) await this.refreshClasses();
      while (this.coming.length < 2 && !this.gone) {
        const from = this.from.value;
        if (!this.coming.length) this.explain(say("groups.looking"));
        const group = await (from === "alike" ? this.alike() : this.cluster());
        if (from !== this.from.value) continue;
        if (!group) break;
        this.coming.push(group);
        if (this.coming.length === 1) this.show();
      }
      if (!this.coming.length) this.explain(say("groups.none"), { text: say("label.look_again"), onclick: () => this.startOver() });
    } catch (error) {
      if (!(error instanceof Sentence)) throw error;
      const draw = this.from.value === "clusters" && error.kind === "NoMap";
      if (!this.coming.length) this.explain(draw ? say("groups.no_map") : error.message, draw ? { text: say("groups.draw_map"), onclick: () => this.drawMap() } : { text: say("common.try_again"), onclick: () => this.fill() });
    } finally {
      this.filling = false;
    }
  }

  group(items, end) {
    const open = items.filter(({ image }) => !this.seen.has(image.id) && !this.coming.some((group) => group.items.some((one) => one.image.id === image.id)));
    const shown = open.slice(0, MOST);
    return shown.length > 1 ? { items: shown, count: Math.max(2, Math.min(end, shown.length)), out: new Set() } : null;
  }

  /** A typical picture and what is like it, down to where the alike ones seem to end. */
  async alike() {
    for (let asked = false; ; ) {
      const seed = this.seeds.shift();
      if (!seed && asked) return null;
      if (!seed) {
        const { items } = await get(of(this.collection, `suggestions?${inUrl({ kind: "typical", limit: SEEDS })}`));
        this.seeds = items.filter(({ image }) => !this.seen.has(image.id));
        asked = true;
        continue;
      }
      if (this.seen.has(seed.image.id)) continue;
      const { hits, end } = await post(of(this.collection, "search"), { positive: [seed.image.id], limit: MOST - 1, filter: { labelled: false } });
      const near = end ? hits.filter(({ score }) => score >= end.score).length : Math.ceil(hits.length / 4);
      const group = this.group([{ image: seed.image, score: 1 }, ...hits], near + 1);
      if (group) return group;
      this.seen.add(seed.image.id);
    }
  }

  /** What has no label yet of the largest cluster that has such pictures; of a large one, a part at a time. */
  async cluster() {
    this.clusters ??= (await get(of(this.collection, "map"))).clusters.map(({ cluster }) => cluster);
    while (this.clusters.length) {
      const { items } = await get(of(this.collection, `images?${inUrl({ cluster: String(this.clusters[0]), labelled: "false", limit: 500 })}`));
      const group = this.group(items.map((image) => ({ image })), MOST);
      if (group) return group;
      this.clusters.shift();
    }
    this.clusters = null; // what is left of them comes when it is asked again
    return null;
  }

  async drawMap() {
    this.explain(say("groups.drawing"));
    try {
      let job = await post(of(this.collection, "maps"));
      while (!FINISHED.includes(job.state) && !this.gone) {
        await sleep(LOOK);
        job = await get(`/v1/jobs/${job.id}`).catch((error) => (AWAY.includes(error.status) ? job : Promise.reject(error))); // the API is away; the job is not
      }
      if (job.state === "succeeded") this.fill();
      else this.notDrawn(failureOf(job));
    } catch (error) {
      if (!(error instanceof Sentence)) throw error;
      this.notDrawn(error.message);
    }
  }

  /** Said in place of a group, unless the person looks at one meanwhile. */
  notDrawn(sentence) {
    if (this.coming.length || this.from.value !== "clusters") this.toast.say(sentence, { bad: true });
    else this.explain(sentence, { text: say("common.try_again"), onclick: () => this.drawMap() });
  }

  // --- the group on show

  explain(sentence, button = null) {
    this.head.hidden = true;
    this.tiles.replaceChildren();
    this.message.hidden = false;
    this.message.replaceChildren(el("p", { role: "alert" }, sentence), button ? el("button", { type: "button", onclick: button.onclick }, button.text) : "");
    this.drawClasses();
  }

  show() {
    const group = this.coming[0];
    if (!group) return this.fill();
    this.head.hidden = false;
    this.message.hidden = true;
    this.slider.max = String(group.items.length);
    this.slider.value = String(group.count);
    this.tiles.replaceChildren(
      ...group.items.map(({ image }, place) => el("button.pick", { type: "button", title: image.name, onclick: (event) => this.toggle(place, event.detail > 0) }, el("img", { src: image.preview, alt: "" }))),
    );
    this.stage.scrollTop = 0;
    this.paint();
    this.drawClasses();
    for (const { image } of this.coming[1]?.items ?? []) new Image().src = image.preview; // there before the key is
  }

  /** Which pictures the next key is for, and which of those the classifier takes for something else. */
  paint() {
    const group = this.coming[0];
    const guess = this.guess();
    group.items.forEach(({ image }, place) => {
      const tile = this.tiles.children[place];
      const within = place < group.count && !group.out.has(image.id);
      const other = within && guess && image.predicted && image.predicted.class !== guess.class;
      tile.setAttribute("aria-pressed", String(within));
      tile.setAttribute("aria-label", [image.name, image.predicted && say("grid.looks_like", { name: classWords(image.predicted.class), sure: percent(image.predicted.probability) })].filter(Boolean).join(", "));
      tile.classList.toggle("other", Boolean(other));
    });
    const n = this.pictures().length;
    this.title.textContent = guess ? say("groups.title_guess", { n, name: classWords(guess.class), share: percent(guess.probability) }) : say("groups.title", { n });
  }

  toggle(place, byPointer) {
    const { items, out, count } = this.coming[0];
    const { id } = items[place].image;
    if (place >= count) this.cut(place + 1);
    else if (!out.delete(id)) out.add(id);
    this.paint();
    this.drawClasses();
    if (byPointer) this.stage.focus({ preventScroll: true }); // Space is for the group again
  }

  cut(count) {
    const group = this.coming[0];
    if (!group) return;
    group.count = Math.max(1, Math.min(group.items.length, count));
    this.slider.value = String(group.count);
    this.paint();
    this.drawClasses();
  }

  // --- what an answer is about

  pictures() {
    const group = this.coming[0];
    return group ? group.items.slice(0, group.count).map(({ image }) => image).filter(({ id }) => !group.out.has(id)) : [];
  }

  subject() {
    return this.coming[0];
  }

  /** What most of them look like, and which share of them. */
  guess() {
    const images = this.pictures();
    const counts = new Map();
    for (const { predicted } of images) if (predicted) counts.set(predicted.class, (counts.get(predicted.class) ?? 0) + 1);
    const [name, most] = [...counts].sort((a, b) => b[1] - a[1])[0] ?? [null, 0];
    return name === null ? null : { class: name, probability: most / images.length };
  }

  held() {
    return this.coming.flatMap(({ items }) => items.map(({ image }) => image));
  }

  redraw() {
    if (!this.coming.length) return;
    this.paint();
    this.drawClasses();
  }

  leave(step) {
    for (const { id } of this.about(step)) this.seen.add(id);
    this.coming = this.coming.filter((group) => group !== step.subject);
    this.show();
    this.fill();
  }

  comeBack(step) {
    for (const { id } of this.about(step)) this.seen.delete(id);
    this.coming = [step.subject, ...this.coming.filter((group) => group !== step.subject)];
    this.show();
  }

  /** The pictures that were labelled, or of a group that was skipped all; what was taken out may come in another group. */
  about({ images, subject }) {
    return images ?? subject.items.map(({ image }) => image);
  }

  // --- the keyboard

  keys() {
    const line = (keys, key) => [keys, say(`groups.key_${key}`)];
    return [...super.keys().slice(0, -1), line("← → ↑ ↓", "move"), line("X", "out"), line("+ −", "count"), ...super.keys().slice(-1)];
  }

  pressed(event) {
    const tiles = [...this.tiles.children];
    const at = tiles.indexOf(this.root.getRootNode().activeElement);
    const columns = tiles.length ? Math.max(1, tiles.filter((tile) => tile.offsetTop === tiles[0].offsetTop).length) : 1;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    if (by && tiles.length && !event.ctrlKey && event.composedPath()[0] !== this.slider) tiles[Math.max(0, Math.min(tiles.length - 1, at < 0 ? 0 : at + by))].focus();
    else if (event.key.toLowerCase() === "x" && at >= 0) this.toggle(at, false);
    else if (event.key === "+" || event.key === "=") this.cut(this.coming[0]?.count + 1);
    else if (event.key === "-" || event.key === "−") this.cut(this.coming[0]?.count - 1);
    else if (event.key === "Escape") this.stage.focus({ preventScroll: true });
    else return super.pressed(event);
  }
}

export default (component) => mount(component, Groups);
