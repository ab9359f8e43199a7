// A rectangle drawn on a picture, to search with what is inside it: by pointer, or by keys from a box in the middle.

const SMALLEST = 0.03; // of the picture's side; less was a click
const NUDGE = 0.02;

class DrawBox {
  /** `done([x0, y0, x1, y1])` gets fractions of the picture. */
  constructor(stage, picture, done) {
    Object.assign(this, { stage, picture, done, on: false });
    this.mark = el("div.drawn", { hidden: true, tabindex: "0", role: "application", "aria-label": say("viewer.box_keys"), onkeydown: (event) => this.key(event) });
    this.hint = el("p.drawhint", { hidden: true }, say("viewer.box_hint"));
    stage.append(this.mark, this.hint);
    stage.addEventListener("pointerdown", (event) => this.on && !event.target.closest("button") && this.down(event));
    stage.addEventListener("pointermove", (event) => this.from && this.moved(event));
    stage.addEventListener("pointerup", () => this.from && this.end());
  }

  start() {
    this.on = true;
    this.stage.classList.remove("full");
    this.stage.classList.add("drawing");
    this.hint.hidden = this.mark.hidden = false;
    this.set([0.25, 0.25, 0.75, 0.75]);
    this.mark.focus();
  }

  stop() {
    this.on = false;
    this.from = null;
    this.stage.classList.remove("drawing");
    this.hint.hidden = this.mark.hidden = true;
  }

  /** Where the picture really is inside its element, which it does not fill. */
  frame() {
    const { clientWidth: W, clientHeight: H } = this.picture;
    const { naturalWidth: w, naturalHeight: h } = this.picture;
    const scale = Math.min(W / w, H / h);
    return { left: (W - w * scale) / 2, top: (H - h * scale) / 2, width: w * scale, height: h * scale };
  }

  set(box) {
    this.box = box;
    const { left, top, width, height } = this.frame();
    const [x0, y0, x1, y1] = box;
    this.mark.style.cssText = `left:${left + x0 * width}px;top:${top + y0 * height}px;width:${(x1 - x0) * width}px;height:${(y1 - y0) * height}px`;
  }

  point(event) {
    const { left, top, width, height } = this.frame();
    const outer = this.picture.getBoundingClientRect();
    const within = (v) => Math.max(0, Math.min(1, v));
    return [within((event.clientX - outer.left - left) / width), within((event.clientY - outer.top - top) / height)];
  }

  down(event) {
    event.preventDefault();
    this.stage.setPointerCapture(event.pointerId);
    this.from = this.point(event);
  }

  moved(event) {
    const [[a, b], [x, y]] = [this.from, this.point(event)];
    this.set([Math.min(a, x), Math.min(b, y), Math.max(a, x), Math.max(b, y)]);
  }

  end() {
    this.from = null;
    const [x0, y0, x1, y1] = this.box;
    if (x1 - x0 < SMALLEST || y1 - y0 < SMALLEST) return this.set([0.25, 0.25, 0.75, 0.75]);
    this.finish();
  }

  finish() {
    const { box } = this;
    this.stop();
    this.done(box);
  }

  /** Arrows move the box, with Shift they stretch it, Enter searches. */
  key(event) {
    const by = { ArrowLeft: [-NUDGE, 0], ArrowRight: [NUDGE, 0], ArrowUp: [0, -NUDGE], ArrowDown: [0, NUDGE] }[event.key];
    if (event.key === "Enter") this.finish();
    else if (by) {
      let [x0, y0, x1, y1] = this.box;
      const [dx, dy] = by;
      if (event.shiftKey) [x1, y1] = [Math.max(x0 + SMALLEST, Math.min(1, x1 + dx)), Math.max(y0 + SMALLEST, Math.min(1, y1 + dy))];
      else {
        const [mx, my] = [Math.max(-x0, Math.min(1 - x1, dx)), Math.max(-y0, Math.min(1 - y1, dy))];
        [x0, x1, y0, y1] = [x0 + mx, x1 + mx, y0 + my, y1 + my];
      }
      this.set([x0, y0, x1, y1]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
