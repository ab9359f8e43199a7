// The picture grid: a scrolling listbox that holds only the rows in view, whatever the collection's size.

const PAGE = 100; // pictures per request
const GAP = 6; // pixels between tiles
const ALL = 10_000; // Ctrl+A takes at most this many
const SPARE = 2; // rows kept above and below the window

class PictureGrid {
  /** `does` says what a tile can do: {open, similar, refine, label, unlabel, undo, redo, remove, help, changed}. */
  constructor(host, does) {
    this.does = does;
    this.items = []; // sparse: what has been fetched, by position
    this.total = 0;
    this.tiles = new Map(); // position → element, only those near the window
    this.selected = new Map(); // image id → image; survives paging
    this.marks = new Map(); // image id → "yes" | "no", in a search
    this.colours = new Map(); // class → colour
    this.focus = 0;
    this.anchor = 0;
    this.size = 168;
    this.fetching = new Map(); // page number → promise
    this.canvas = el("div.canvas");
    this.scroller = el(
      "div.scroller",
      {
        tabindex: "0",
        role: "listbox",
        "aria-multiselectable": "true",
        "aria-label": "Pictures",
        onscroll: () => this.draw(),
        onkeydown: (event) => this.key(event),
        onclick: (event) => this.click(event),
        ondblclick: (event) => this.at(event) !== null && !event.target.closest(".act") && does.similar?.([this.items[this.at(event)].image]),
      },
      this.canvas,
    );
    this.nothing = el("div.message", { hidden: true });
    host.append(this.scroller, this.nothing);
    this.watch = new ResizeObserver(() => this.layout());
    this.watch.observe(this.scroller);
    this.settle = settled(() => this.draw(true), 80);
  }

  destroy() {
    this.watch.disconnect();
    this.settle.stop();
    this.abort?.abort();
  }

  /** Show another list: `source(offset, limit, signal)` gives {items: [{image, score?, probability?}], total}. */
  async load(source, { keepPlace = false, empty = "Nothing here." } = {}) {
    this.abort?.abort();
    this.abort = new AbortController();
    this.source = source;
    this.fetching.clear();
    this.emptyText = empty;
    const top = keepPlace ? this.scroller.scrollTop : 0;
    if (!keepPlace) this.focus = this.anchor = 0;
    const signal = this.abort.signal;
    this.scroller.setAttribute("aria-busy", "true"); // what is shown is of the last question until the answer is here
    const first = keepPlace ? Math.floor((this.rows(top) * this.columns) / PAGE) || 0 : 0;
    const page = await source(first * PAGE, PAGE, signal);
    if (signal.aborted) return;
    this.scroller.setAttribute("aria-busy", "false");
    this.items = [];
    this.clearTiles();
    this.take(first, page);
    this.layout();
    this.scroller.scrollTop = top;
    this.draw();
  }

  rows(pixels) {
    return Math.max(0, Math.floor(pixels / (this.pitch || 1)));
  }

  take(number, page) {
    this.total = page.total;
    page.items.forEach((item, k) => (this.items[number * PAGE + k] = item));
    this.nothing.hidden = this.total > 0;
    this.scroller.hidden = this.total === 0;
    if (this.total === 0) this.nothing.replaceChildren(this.emptyText);
    this.does.changed?.();
  }

  /** Make sure the page holding `position` is here or on its way. */
  fetch(number) {
    if (this.fetching.has(number)) return this.fetching.get(number);
    const signal = this.abort.signal;
    const promise = this.source(number * PAGE, PAGE, signal)
      .then((page) => {
        if (signal.aborted) return;
        this.take(number, page);
        for (const [position, tile] of this.tiles) if (Math.floor(position / PAGE) === number) this.fill(tile, position);
      })
      .catch((error) => {
        this.fetching.delete(number);
        this.does.failed?.(error);
      });
    this.fetching.set(number, promise);
    return promise;
  }

  layout() {
    const width = this.scroller.clientWidth - 2 * GAP;
    if (width <= 0) return;
    this.columns = Math.max(2, Math.floor((width + GAP) / (this.size + GAP)));
    this.side = (width - GAP * (this.columns - 1)) / this.columns;
    const keep = this.pitch ? (this.scroller.scrollTop / this.pitch) * this.columnsBefore : 0;
    const changed = this.columnsBefore && this.columnsBefore !== this.columns;
    this.pitch = this.side + GAP;
    this.columnsBefore = this.columns;
    this.canvas.style.height = `${Math.ceil(this.total / this.columns) * this.pitch + GAP}px`;
    if (changed) this.scroller.scrollTop = (keep / this.columns) * this.pitch; // the picture at the top stays at the top
    for (const [position, tile] of this.tiles) this.place(tile, position);
    this.draw();
  }

  place(tile, position) {
    const [row, column] = [Math.floor(position / this.columns), position % this.columns];
    tile.style.width = tile.style.height = `${this.side}px`;
    tile.style.transform = `translate(${GAP + column * this.pitch}px, ${GAP + row * this.pitch}px)`;
  }

  clearTiles() {
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
  }

  /** Bring the elements in line with what the window shows. Pictures wait while the scrolling is fast. */
  draw(still = false) {
    if (!this.pitch || !this.source) return;
    const top = this.scroller.scrollTop;
    const fast = !still && Math.abs(top - (this.lastTop ?? top)) > this.scroller.clientHeight;
    this.lastTop = top;
    if (fast) this.settle();
    const from = Math.max(0, this.rows(top) - SPARE) * this.columns;
    const to = Math.min(this.total, (this.rows(top + this.scroller.clientHeight) + 1 + SPARE) * this.columns);
    for (const [position, tile] of this.tiles) {
      if (position < from || position >= to) {
        tile.remove();
        this.tiles.delete(position);
      }
    }
    const missing = new Set();
    for (let position = from; position < to; position += 1) {
      if (!this.items[position]) missing.add(Math.floor(position / PAGE));
      if (this.tiles.has(position)) continue;
      const tile = el("div.tile", { id: `tile-${position}`, role: "option" });
      this.tiles.set(position, tile);
      this.place(tile, position);
      this.fill(tile, position);
      this.canvas.append(tile);
    }
    if (!fast) for (const number of missing) this.fetch(number);
  }

  fill(tile, position) {
    const item = this.items[position];
    tile.setAttribute("aria-setsize", this.total);
    tile.setAttribute("aria-posinset", position + 1);
    if (!item) return;
    const { image } = item;
    tile.dataset.id = image.id;
    const act = (name, sign, title) => el(`span.act.${name}`, { "data-act": name, "aria-hidden": "true", title }, sign);
    tile.replaceChildren(
      el("img", { src: image.preview, alt: "", loading: "lazy", decoding: "async", draggable: true, title: image.folder ? `${image.folder}/${image.name}` : image.name }),
      act("pick", "", "Select"),
      this.does.refine ? el("span.refine", {}, act("yes", "✓", "More like this (+)"), act("no", "✗", "Less like this (−)")) : "",
      this.does.similar ? act("similar", "≈ Similar", "Find similar pictures (S)") : "",
      el("span.words", { "aria-hidden": "true" }),
    );
    this.mark(tile, position);
  }

  /** Everything on a tile that changes while it is in view: words, colours, selection, focus. */
  mark(tile, position) {
    const item = this.items[position];
    if (!item) return;
    const { image, score, probability } = item;
    const guess = image.class ? null : image.predicted;
    const named = image.class ?? guess?.class;
    const words = tile.querySelector(".words");
    const sure = probability ?? guess?.probability;
    words.replaceChildren(
      score === undefined ? "" : el("span.score", {}, score.toFixed(2)),
      named ? el("span.class", {}, el(guess ? "span.dot.guess" : "span.dot", { style: `--colour:${this.colours.get(named) ?? "#bbb"}` }), el("span.name", {}, named), guess || probability !== undefined ? el("span.sure", {}, percent(sure)) : "") : "",
      image.answer === "unsure" ? el("span.class", {}, "unsure") : "",
    );
    const selected = this.selected.has(image.id);
    tile.setAttribute("aria-selected", String(selected));
    tile.setAttribute(
      "aria-label",
      [image.name, image.class && `labelled ${image.class}`, guess && `looks like ${guess.class}, ${percent(guess.probability)}`, score !== undefined && `score ${score.toFixed(2)}`]
        .filter(Boolean)
        .join(", "),
    );
    tile.classList.toggle("focus", position === this.focus);
    tile.classList.toggle("wanted", this.marks.get(image.id) === "yes");
    tile.classList.toggle("unwanted", this.marks.get(image.id) === "no");
    if (position === this.focus) this.scroller.setAttribute("aria-activedescendant", tile.id);
  }

  repaint() {
    for (const [position, tile] of this.tiles) this.mark(tile, position);
    this.does.changed?.();
  }

  // --- selection

  at(event) {
    const tile = event.target.closest?.(".tile");
    return tile?.dataset.id ? Number(tile.id.slice(5)) : null;
  }

  click(event) {
    const position = this.at(event);
    if (position === null) return;
    this.scroller.focus({ preventScroll: true });
    const { image } = this.items[position];
    const act = event.target.closest(".act")?.dataset.act;
    if (act === "similar") return this.does.similar([image]);
    if (act === "yes" || act === "no") return this.does.refine(image, act);
    if (event.shiftKey) this.range(this.anchor, position, event.ctrlKey || event.metaKey);
    else {
      if (act === "pick" || event.ctrlKey || event.metaKey) this.toggle(image);
      else {
        this.selected.clear();
        this.selected.set(image.id, image);
      }
      this.anchor = position;
    }
    this.focus = position;
    this.repaint();
  }

  toggle(image) {
    if (!this.selected.delete(image.id)) this.selected.set(image.id, image);
  }

  range(a, b, add = false) {
    if (!add) this.selected.clear();
    for (let k = Math.min(a, b); k <= Math.max(a, b); k += 1) {
      const image = this.items[k]?.image;
      if (image) this.selected.set(image.id, image);
    }
  }

  async selectAll() {
    const last = Math.ceil(Math.min(this.total, ALL) / PAGE);
    for (let number = 0; number < last; number += 1) if (!this.items[number * PAGE]) await this.fetch(number);
    this.range(0, Math.min(this.total, ALL) - 1);
    this.repaint();
  }

  clear() {
    this.selected.clear();
    this.repaint();
  }

  /** The selected pictures, or the one in focus when none is. */
  chosen() {
    if (this.selected.size) return [...this.selected.values()];
    const image = this.items[this.focus]?.image;
    return image ? [image] : [];
  }

  // --- keyboard

  move(to, extend) {
    this.focus = Math.max(0, Math.min(this.total - 1, to));
    const top = Math.floor(this.focus / this.columns) * this.pitch;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + this.pitch + GAP > this.scroller.scrollTop + this.scroller.clientHeight)
      this.scroller.scrollTop = top + this.pitch + GAP - this.scroller.clientHeight;
    if (extend) this.range(this.anchor, this.focus);
    else this.anchor = this.focus;
    this.draw();
    this.repaint();
  }

  key(event) {
    const does = this.does;
    const command = event.ctrlKey || event.metaKey;
    const screen = Math.max(1, this.rows(this.scroller.clientHeight)) * this.columns;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns, PageUp: -screen, PageDown: screen, Home: -Infinity, End: Infinity };
    const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const handled = () => {
      if (pressed in steps && !command) this.move(this.focus + steps[pressed], event.shiftKey);
      else if (command && pressed === "a") this.selectAll();
      else if (command && pressed === "z") (event.shiftKey ? does.redo : does.undo)?.();
      else if (command && pressed === "y") does.redo?.();
      else if (command) return false;
      else if (pressed === "Enter") this.items[this.focus] && does.open?.(this.focus);
      else if (pressed === " ") this.items[this.focus] && (this.toggle(this.items[this.focus].image), (this.anchor = this.focus), this.repaint());
      else if (pressed === "Escape") this.clear();
      else if (/^[1-9]$/.test(pressed)) does.label?.(pressed, this.chosen());
      else if (pressed === "0") does.unlabel?.(this.chosen());
      else if (pressed === "s") does.similar?.(this.chosen());
      else if ((pressed === "+" || pressed === "=") && does.refine) this.chosen().forEach((image) => does.refine(image, "yes"));
      else if ((pressed === "-" || pressed === "−") && does.refine) this.chosen().forEach((image) => does.refine(image, "no"));
      else if (pressed === "Delete") does.remove?.(this.chosen());
      else if (pressed === "?") does.help?.();
      else return false;
      return true;
    };
    if (handled() === false) return;
    event.preventDefault();
    event.stopPropagation();
  }
}
