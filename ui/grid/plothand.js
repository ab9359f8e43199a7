// The hand on the map: drag to move, wheel and pinch to zoom, Shift and drag (or the lasso) to draw around pictures,
// a click to look closely; and the same from the keyboard.

const STILL = 5; // pixels that a click may wander
const STEP = 60; // pixels that an arrow moves
const NOTCH = 1.5; // zoom of a key or button
const APART = 4; // pixels between the corners of a lasso

class PlotHand {
  constructor(plot) {
    this.plot = plot;
    this.lassoing = false; // the tool is chosen
    this.path = null; // [[x, y], …] while a lasso is drawn
    this.pointers = new Map(); // id → [x, y], of those that are down
    this.keyed = false; // the keyboard was used last: the middle of the map is what it points at
    const { canvas } = plot;
    const on = (name, f, how) => canvas.addEventListener(name, f, how);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.moved(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.up(event, false));
    on("pointerleave", () => this.plot.does.hover(-1));
    on("wheel", (event) => this.wheel(event), { passive: false });
    on("keydown", (event) => this.key(event));
    on("blur", () => this.setKeyed(false));
  }

  end() {
    cancelAnimationFrame(this.hovering);
  }

  /** Where the pointer is, in pixels of the canvas. */
  point(event) {
    const { left, top } = this.plot.canvas.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  down(event) {
    if (event.button !== 0 || !this.plot.points) return;
    event.preventDefault();
    this.plot.canvas.focus({ preventScroll: true });
    this.plot.canvas.setPointerCapture(event.pointerId);
    this.plot.does.hover(-1);
    this.setKeyed(false);
    this.pointers.set(event.pointerId, this.point(event));
    this.path = this.pointers.size === 1 && (event.shiftKey || this.lassoing) ? [this.point(event)] : null;
    this.still = this.pointers.size === 1; // until it moves
    this.from = this.point(event);
  }

  moved(event) {
    const [x, y] = this.point(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) return this.hover(x, y);
    if (this.still && Math.hypot(x - this.from[0], y - this.from[1]) < STILL) return;
    this.still = false;
    if (this.pointers.size === 2) this.pinch(event.pointerId, [x, y]);
    else if (this.path) this.lengthen(x, y);
    else this.plot.move(x - before[0], y - before[1]);
    this.pointers.set(event.pointerId, [x, y]);
  }

  lengthen(x, y) {
    const [a, b] = this.path.at(-1);
    if (Math.hypot(x - a, y - b) < APART) return;
    this.path.push([x, y]);
    this.plot.later();
  }

  pinch(id, now) {
    const before = this.pointers.get(id);
    const [[, other]] = [...this.pointers].filter(([key]) => key !== id);
    const far = ([x, y]) => Math.max(10, Math.hypot(x - other[0], y - other[1]));
    const middle = ([x, y]) => [(x + other[0]) / 2, (y + other[1]) / 2];
    const [[x, y], [u, v]] = [middle(before), middle(now)];
    this.plot.move(u - x, v - y);
    this.plot.zoom(far(now) / far(before), u, v);
  }

  up(event, meant = true) {
    if (!this.pointers.delete(event.pointerId)) return;
    const { path, still } = this;
    this.path = null;
    this.still = false;
    this.plot.later();
    if (!meant) return;
    if (path?.length > 2) this.plot.does.lasso(this.plot.points.within(path.map(([x, y]) => this.plot.toMap(x, y)), this.plot.isShown));
    else if (still) {
      const row = this.plot.at(...this.point(event));
      if (row >= 0) this.plot.does.open(row);
    }
  }

  hover(x, y) {
    cancelAnimationFrame(this.hovering);
    this.hovering = requestAnimationFrame(() => {
      this.setKeyed(false);
      const row = this.plot.at(x, y);
      this.plot.canvas.classList.toggle("over", row >= 0);
      this.plot.does.hover(row, x, y);
    });
  }

  wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 24 : 1;
    const by = Math.max(-240, Math.min(240, event.deltaY * lines));
    this.plot.zoom(Math.exp(-by * (event.ctrlKey ? 0.01 : 0.0022)), ...this.point(event)); // a trackpad's pinch comes with Ctrl
  }

  key(event) {
    const { plot } = this;
    const moves = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };
    const command = event.ctrlKey || event.metaKey || event.altKey;
    if (!command && event.key in moves) plot.move(...moves[event.key]);
    else if (!command && (event.key === "+" || event.key === "=")) plot.zoom(NOTCH);
    else if (!command && (event.key === "-" || event.key === "−")) plot.zoom(1 / NOTCH);
    else if (!command && (event.key === "Home" || event.key === "0")) plot.whole();
    else if (event.key === "Enter") {
      const row = this.atMiddle();
      if (row >= 0) plot.does.open(row);
    } else return plot.does.other(event);
    event.preventDefault();
    this.setKeyed(true);
    if (event.key !== "Enter") requestAnimationFrame(() => plot.does.hover(this.atMiddle(), plot.width / 2, plot.height / 2));
  }

  atMiddle() {
    return this.plot.at(this.plot.width / 2, this.plot.height / 2);
  }

  setKeyed(keyed) {
    if (this.keyed === keyed) return;
    this.keyed = keyed;
    this.plot.later();
  }

  /** What the hand shows on the map: the lasso, and where the keyboard points. */
  draw(context, style) {
    const accent = style.getPropertyValue("--accent").trim() || style.color;
    const { path, plot } = this;
    if (path?.length > 1) {
      context.beginPath();
      for (const [x, y] of path) context.lineTo(x, y);
      context.closePath();
      context.globalAlpha = 0.15;
      context.fillStyle = accent;
      context.fill("evenodd");
      context.globalAlpha = 1;
    } else if (!this.keyed) return;
    context.strokeStyle = accent;
    context.lineWidth = 2;
    if (!path) {
      const [x, y] = [plot.width / 2, plot.height / 2];
      context.beginPath();
      for (const [u, v] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + u * TOUCH, y + v * TOUCH);
        context.lineTo(x + u * TOUCH * 2, y + v * TOUCH * 2);
      }
    }
    context.stroke();
  }
}
