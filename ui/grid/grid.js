// The picture grid: a scrolling listbox that holds only the rows in view, whatever the collection's size.

const PAGE = 100; // pictures per request
const ALL = 10_000; // of a list that no filter describes, Ctrl+A takes at most this many
const SPARE = 2; // rows kept above and below the window

class PictureGrid {
  /** `does` says what can be done: {open, similar, why, refine, label, unlabel, undo, redo, remove, help, everything, cut, changed}. */
  constructor(host, does) {
    this.does = does;
    this.items = []; // sparse: what has been fetched, by position
    this.tiles = new Map(); // position → element, only those near the window
    this.layout = new Layout();
    this.selection = new Selection();
    this.marks = new Map(); // image id → "yes" | "no", in a search
    this.colours = new Map(); // class → colour
    this.focus = 0;
    this.anchor = 0;
    this.size = 168;
    this.fetching = new Map(); // page number → promise
    this.line = el("div.line", { hidden: true });
    this.canvas = el("div.canvas", { tabindex: "0", role: "listbox", "aria-multiselectable": "true", "aria-label": say("grid.pictures") });
    this.scroller = el(
      "div.scroller", // the line is no part of the list: a list of options holds no buttons
      {
        onscroll: () => this.draw(),
        onkeydown: (event) => this.key(event),
        onclick: (event) => this.click(event),
        ondblclick: (event) => this.at(event) !== null && !event.target.closest(".act") && does.similar?.([this.items[this.at(event)].image]),
      },
      this.canvas,
      this.line,
    );
    this.nothing = el("div.message", { hidden: true });
    host.append(this.scroller, this.nothing);
    this.boxes = new BoxSelect(this);
    this.watch = new ResizeObserver(() => this.fit());
    this.watch.observe(this.scroller);
    this.settle = settled(() => this.draw(true), 80);
  }

  destroy() {
    this.watch.disconnect();
    this.settle.stop();
    this.boxes.end();
    this.abort?.abort();
  }

  get total() {
    return this.layout.total;
  }

  // --- what is shown

  /** Show another list: `source(offset, limit, signal)` gives {items: [{image, score?, probability?}], total}. */
  async load(source, { keepPlace = false, empty = "" } = {}) {
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.fetching.clear();
    this.emptyText = empty;
    const top = keepPlace ? this.scroller.scrollTop : 0;
    if (!keepPlace) this.focus = this.anchor = 0;
    this.canvas.setAttribute("aria-busy", "true"); // what is shown is of the last question until the answer is here
    const first = keepPlace && this.layout.pitch ? Math.floor(this.layout.at(this.layout.rowAt(top), 0) / PAGE) : 0;
    const page = await source(first * PAGE, PAGE, signal);
    if (signal.aborted) return;
    this.source = source;
    this.canvas.setAttribute("aria-busy", "false");
    this.items = [];
    this.layout.breakAt = null;
    this.line.hidden = true;
    for (const tile of this.tiles.values()) tile.remove();
    this.tiles.clear();
    this.take(first, page);
    this.fit();
    this.scroller.scrollTop = top;
    this.draw();
  }

  /** Draw a line across before `position`, with something to say in it, until another list is shown. */
  breakBefore(position, ...content) {
    const inside = position > 0 && position < this.total;
    this.layout.breakAt = inside ? position : null;
    this.line.hidden = !inside;
    this.line.replaceChildren(...(inside ? content : []));
    this.fit();
  }

  take(number, page) {
    this.layout.total = page.total;
    page.items.forEach((item, k) => ((this.items[number * PAGE + k] = item), this.selection.renew(item.image)));
    this.nothing.hidden = this.total > 0;
    this.scroller.hidden = this.total === 0;
    if (this.total === 0) this.nothing.replaceChildren(this.emptyText);
    this.does.changed?.();
  }

  /** Make sure a page of the list is here or on its way. */
  fetch(number) {
    if (this.fetching.has(number)) return this.fetching.get(number);
    const { signal } = this.abort;
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

  fit() {
    const { layout, scroller } = this;
    if (scroller.clientWidth <= 2 * GAP) return;
    const first = layout.pitch ? layout.at(layout.rowAt(scroller.scrollTop), 0) : 0;
    const columns = layout.columns;
    layout.fit(scroller.clientWidth, this.size);
    this.canvas.style.height = `${layout.height}px`;
    if (columns !== layout.columns) scroller.scrollTop = layout.top(layout.cell(first)[0]); // the picture at the top stays at the top
    if (!this.line.hidden) this.line.style.transform = `translateY(${layout.before * layout.pitch + GAP}px)`;
    for (const [position, tile] of this.tiles) this.place(tile, position);
    this.draw();
  }

  place(tile, position) {
    const [x, y] = this.layout.spot(position);
    tile.style.width = tile.style.height = `${this.layout.side}px`;
    tile.style.transform = `translate(${x}px, ${y}px)`;
  }

  /** Bring the elements in line with what the window shows. Pictures wait while the scrolling is fast. */
  draw(still = false) {
    const { layout, scroller } = this;
    if (!layout.pitch || !this.source || !this.total) return;
    const top = scroller.scrollTop;
    const fast = !still && Math.abs(top - (this.lastTop ?? top)) > scroller.clientHeight;
    this.lastTop = top;
    if (fast) this.settle();
    const from = layout.at(Math.max(0, layout.rowAt(top) - SPARE), 0);
    const to = layout.at(layout.rowAt(top + scroller.clientHeight) + SPARE, layout.columns - 1) + 1;
    for (const [position, tile] of this.tiles) {
      if (position < from || position >= to) {
        tile.remove();
        this.tiles.delete(position);
      }
    }
    const missing = new Set();
    const made = document.createDocumentFragment();
    for (let position = from; position < to; position += 1) {
      if (!this.items[position]) missing.add(Math.floor(position / PAGE));
      if (this.tiles.has(position)) continue;
      const tile = el("div.tile", { id: `tile-${position}`, role: "option", "aria-label": say("grid.loading") });
      this.tiles.set(position, tile);
      this.place(tile, position);
      this.fill(tile, position);
      made.append(tile);
    }
    this.canvas.append(made);
    if (!fast) for (const number of missing) this.fetch(number);
  }

  fill(tile, position) {
    tile.setAttribute("aria-setsize", this.total);
    tile.setAttribute("aria-posinset", position + 1);
    const item = this.items[position];
    if (!item) return;
    fillTile(tile, item, this.does);
    this.mark(tile, position);
  }

  mark(tile, position) {
    const item = this.items[position];
    tile.classList.toggle("focus", position === this.focus);
    if (position === this.focus) this.canvas.setAttribute("aria-activedescendant", tile.id);
    if (item) markTile(tile, item, { selected: this.selection.has(item.image), mark: this.marks.get(item.image.id), colours: this.colours });
  }

  repaint() {
    for (const [position, tile] of this.tiles) this.mark(tile, position);
    this.does.changed?.();
  }

  // --- the pointer

  at(event) {
    const tile = event.target.closest?.(".tile");
    return tile?.dataset.id ? Number(tile.id.slice(5)) : null;
  }

  click(event) {
    const position = this.at(event);
    if (this.justBoxed || event.target.closest(".line")) return;
    this.canvas.focus({ preventScroll: true });
    if (position === null) return event.target.closest(".tile") || this.clear();
    const { image } = this.items[position];
    const act = event.target.closest(".act")?.dataset.act;
    this.focus = position;
    if (act === "similar") return this.does.similar([image]);
    if (act === "open") return this.does.open(position);
    if (act === "why") return this.does.why(image);
    if (act === "yes" || act === "no") return this.does.refine([image], act);
    if (event.shiftKey) this.range(this.anchor, position, event.ctrlKey || event.metaKey);
    else {
      if (act === "pick" || event.ctrlKey || event.metaKey) this.selection.toggle(image);
      else if (event.altKey && this.does.refine) return this.does.refine([image], "no");
      else this.selection.only([image]);
      this.anchor = position;
    }
    this.repaint();
  }

  // --- selection

  async range(a, b, add = false) {
    const [from, to] = [Math.min(a, b), Math.max(a, b)];
    const kept = add ? [...this.selection.images.values()] : [];
    await this.have(from, to);
    const range = this.items.slice(from, to + 1).filter(Boolean);
    this.selection.only([...kept, ...range.map(({ image }) => image)]);
    this.repaint();
  }

  /** Fetch what is not here yet of a range, at most ALL pictures. */
  async have(from, to) {
    for (let number = Math.floor(from / PAGE); number <= Math.floor(Math.min(to, from + ALL) / PAGE); number += 1)
      if (!this.items[Math.max(from, number * PAGE)] || !this.items[Math.min(to, number * PAGE + PAGE - 1)]) await this.fetch(number);
  }

  async selectAll() {
    const every = this.does.everything?.(); // a filter, or ids
    if (Array.isArray(every)) this.selection.these(every);
    else if (every) this.selection.all(every, this.total);
    else await this.range(0, Math.min(this.total, ALL) - 1);
    if (!every && this.total > ALL) this.does.cut?.(ALL);
    this.repaint();
  }

  clear() {
    this.selection.clear();
    this.repaint();
  }

  /** The selected pictures that are known one by one, or the one in focus when none is. */
  chosen() {
    const { selection } = this;
    if (selection.everything || selection.listed?.size) return this.items.filter((item) => item && selection.has(item.image)).map(({ image }) => image);
    if (selection.size) return [...selection.images.values()];
    const image = this.items[this.focus]?.image;
    return image ? [image] : [];
  }

  // --- the keyboard

  move(to, extend) {
    const { layout, scroller } = this;
    this.focus = Math.max(0, Math.min(this.total - 1, to));
    const top = layout.top(layout.cell(this.focus)[0]);
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + layout.pitch + GAP > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + layout.pitch + GAP - scroller.clientHeight;
    if (extend) this.range(this.anchor, this.focus);
    else this.anchor = this.focus;
    this.draw();
    this.repaint();
  }

  /** Where an arrow leads from the focus. */
  beside(key) {
    const { layout } = this;
    const [row, column] = layout.cell(this.focus);
    const screen = Math.max(1, Math.floor(this.scroller.clientHeight / layout.pitch));
    const by = { ArrowUp: -1, ArrowDown: 1, PageUp: -screen, PageDown: screen }[key];
    if (by !== undefined) return row + by < 0 && Math.abs(by) === 1 ? this.focus : layout.at(Math.max(0, Math.min(layout.rows - 1, row + by)), column);
    return { ArrowLeft: this.focus - 1, ArrowRight: this.focus + 1, Home: 0, End: this.total - 1 }[key];
  }

  key(event) {
    if (this.pressed(event) === false) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Do what a key means; false when it means nothing here. */
  pressed(event) {
    const { does } = this;
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const item = this.items[this.focus];
    const beside = command ? undefined : this.beside(key);
    if (beside !== undefined) this.move(beside, event.shiftKey);
    else if (command && key === "a") this.selectAll();
    else if (command && key === "z") (event.shiftKey ? does.redo : does.undo)?.();
    else if (command && key === "y") does.redo?.();
    else if (command) return false;
    else if (key === "Enter") item && does.open?.(this.focus);
    else if (key === " ") item && (this.selection.toggle(item.image), (this.anchor = this.focus), this.repaint());
    else if (key === "Escape") this.clear();
    else if (/^[1-9]$/.test(key)) does.label?.(key);
    else if (key === "0") does.unlabel?.();
    else if (key === "s") does.similar?.(this.chosen());
    else if (key === "w" && does.why) item && does.why(item.image);
    else if ((key === "+" || key === "=") && does.refine) does.refine(this.chosen(), "yes");
    else if ((key === "-" || key === "−") && does.refine) does.refine(this.chosen(), "no");
    else if (key === "Delete") does.remove?.();
    else if (key === "?") does.help?.();
    else return false;
  }
}
