// What is selected: single pictures, which survive paging, a list of ids, or everything that a filter keeps, however many
// that are.

class Selection {
  constructor() {
    this.images = new Map(); // id → image
    this.listed = null; // a set of ids instead, where their images need not be here
    this.everything = null; // {filter, total} instead of single pictures
  }

  get size() {
    return this.everything ? this.everything.total : (this.listed ?? this.images).size;
  }

  has(image) {
    return this.everything !== null || (this.listed ?? this.images).has(image.id);
  }

  clear() {
    this.images.clear();
    this.listed = null;
    this.everything = null;
  }

  add(image) {
    this.everything = null;
    if (this.listed) this.listed.add(image.id);
    else this.images.set(image.id, image);
  }

  /** A picture that was asked for again, and may be labelled otherwise by now. */
  renew(image) {
    if (this.images.has(image.id)) this.images.set(image.id, image);
  }

  toggle(image) {
    if (this.everything) return this.only([image]);
    if (!(this.listed ?? this.images).delete(image.id)) this.add(image);
  }

  only(images) {
    this.clear();
    for (const image of images) this.images.set(image.id, image);
  }

  all(filter, total) {
    this.clear();
    this.everything = { filter, total };
  }

  these(ids) {
    this.clear();
    this.listed = new Set(ids);
  }

  /** What a request that takes many pictures says: their ids, or the filter that keeps them. */
  body() {
    return this.everything ? { filter: this.everything.filter } : { image_ids: [...(this.listed ?? this.images).keys()] };
  }
}

/** Drag over the grid: what the rectangle touches is selected. From a selected tile the drag takes the pictures along. */
class BoxSelect {
  constructor(grid) {
    this.grid = grid;
    this.box = el("div.box", { hidden: true, "aria-hidden": "true" });
    grid.canvas.append(this.box);
    grid.scroller.addEventListener("pointerdown", (event) => this.down(event));
    grid.scroller.addEventListener("dragstart", (event) => this.from && event.preventDefault());
    this.move = (event) => this.moved(event);
    this.up = () => this.end();
  }

  down(event) {
    if (event.button !== 0 || event.pointerType === "touch" || event.target.closest(".act, .line")) return;
    if (event.clientX > this.grid.scroller.getBoundingClientRect().left + this.grid.scroller.clientWidth) return; // the scrollbar
    const tile = event.target.closest(".tile");
    if (tile?.getAttribute("aria-selected") === "true" && !event.shiftKey) return;
    this.from = this.point(event);
    this.kept = event.shiftKey || event.ctrlKey || event.metaKey ? [...this.grid.selection.images.values()] : [];
    window.addEventListener("pointermove", this.move);
    window.addEventListener("pointerup", this.up);
    window.addEventListener("pointercancel", this.up);
  }

  /** Where the pointer is, in pixels of the canvas. */
  point(event) {
    const { left, top } = this.grid.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  moved(event) {
    this.last = event;
    const [x, y] = this.point(event);
    const [a, b] = this.from;
    if (!this.drawing && Math.hypot(x - a, y - b) < 7) return;
    if (!this.drawing) {
      this.drawing = true;
      this.timer = setInterval(() => this.edge(), 30);
    }
    const [x0, y0, x1, y1] = [Math.min(a, x), Math.min(b, y), Math.max(a, x), Math.max(b, y)];
    this.box.hidden = false;
    this.box.style.cssText = `left:${x0}px;top:${y0}px;width:${x1 - x0}px;height:${y1 - y0}px`;
    const { grid } = this;
    const within = grid.layout.touched(x0, y0, x1, y1).map((position) => grid.items[position]?.image);
    grid.selection.only([...this.kept, ...within.filter(Boolean)]);
    grid.repaint();
  }

  /** Near the upper or lower edge the grid scrolls on. */
  edge() {
    const { top, bottom } = this.grid.scroller.getBoundingClientRect();
    const beyond = this.last.clientY < top + 24 ? this.last.clientY - top - 24 : this.last.clientY > bottom - 24 ? this.last.clientY - bottom + 24 : 0;
    if (!beyond) return;
    this.grid.scroller.scrollTop += Math.max(-60, Math.min(60, beyond));
    this.moved(this.last);
  }

  end() {
    window.removeEventListener("pointermove", this.move);
    window.removeEventListener("pointerup", this.up);
    window.removeEventListener("pointercancel", this.up);
    clearInterval(this.timer);
    this.box.hidden = true;
    this.from = null;
    if (!this.drawing) return;
    this.drawing = false;
    this.grid.justBoxed = true; // the click that follows is the end of the drag
    setTimeout(() => (this.grid.justBoxed = false));
  }
}
