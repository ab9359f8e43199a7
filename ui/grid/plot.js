// The map itself: points on a canvas, pictures in their place where there is room, and the view that moves over them.
// Everything is drawn anew for each frame; nothing asks the server but the small pictures in view.

const EDGE = 30; // pixels kept free around the map when all of it is in view
const NEAREST_ZOOM = 1;
const FARTHEST_ZOOM = 2000;
const CROWD = 2; // points for each place that a picture could have; where there are more, points are shown
const HIDDEN = 8; // points for each picture that is shown: where it would cover more, points say more
const AT_REST = 120; // ms without a movement after which pictures are fetched
const FAINT = 0.16; // of what is not chosen, while something is
const TOUCH = 9; // pixels from a point that still mean it

class Plot {
  /** `does`: {open(row), lasso(rows), hover(row or -1, x, y), other(event)}. */
  constructor(does) {
    this.does = does;
    this.canvas = el("canvas.plot", { tabindex: "0", role: "application", "aria-roledescription": say("map.map"), "aria-busy": "true" });
    this.root = el("div.chart", {}, this.canvas);
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.faces = new Faces(() => this.later());
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.pictures = true;
    this.names = []; // [{text, x, y}], the most important first
    this.chosen = null; // (N,) 1 for the rows that are chosen; null when none is
    this.shownFaces = []; // [row, x, y] of the last frame
    this.rest = settled(() => this.fetchFaces(), AT_REST);
    this.watch = new ResizeObserver(() => this.fit());
    this.watch.observe(this.root);
    this.hand = new PlotHand(this);
  }

  destroy() {
    this.watch.disconnect();
    this.rest.stop();
    this.hand.end();
    this.faces.forget();
    cancelAnimationFrame(this.frame);
  }

  /** Show these points; the view stays unless it is the first map. */
  show(points) {
    this.points = points;
    this.inView = new Uint32Array(points.count);
    this.chosen = null;
    this.shownFaces = [];
    this.later();
  }

  /** How they look: {group: (N,) -1 or a place in `colours` and `shapes`, alpha: (N,) or null, visible: (N,) 0 or 1}. */
  paint(look) {
    this.look = look;
    this.later();
  }

  choose(rows) {
    this.chosen = rows && new Uint8Array(this.points.count);
    for (const row of rows ?? []) this.chosen[row] = 1;
    this.later();
  }

  isShown = (row) => this.look.visible[row] === 1;

  // --- the view

  fit() {
    const { clientWidth, clientHeight } = this.root;
    if (!clientWidth || !clientHeight) return;
    this.width = clientWidth;
    this.height = clientHeight;
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    this.canvas.width = Math.round(clientWidth * this.ratio);
    this.canvas.height = Math.round(clientHeight * this.ratio);
    this.painter = new Painter(this.canvas.width, this.canvas.height);
    this.draw();
  }

  /** Pixels to the map's whole width and height. */
  get across() {
    return (this.width - 2 * EDGE) * this.view.zoom;
  }

  get down() {
    return (this.height - 2 * EDGE) * this.view.zoom;
  }

  /** A place of the map in pixels of the canvas, and back. */
  toScreen(x, y) {
    return [(x - this.view.x) * this.across + this.width / 2, (y - this.view.y) * this.down + this.height / 2];
  }

  toMap(px, py) {
    return [(px - this.width / 2) / this.across + this.view.x, (py - this.height / 2) / this.down + this.view.y];
  }

  move(dx, dy) {
    this.view.x = Math.max(0, Math.min(1, this.view.x - dx / this.across));
    this.view.y = Math.max(0, Math.min(1, this.view.y - dy / this.down));
    this.later();
  }

  /** Zoom by a factor; the place under the pixel stays under it. */
  zoom(by, px = this.width / 2, py = this.height / 2) {
    const [x, y] = this.toMap(px, py);
    this.view.zoom = Math.max(NEAREST_ZOOM, Math.min(FARTHEST_ZOOM, this.view.zoom * by));
    const [u, v] = this.toScreen(x, y);
    this.move(px - u, py - v);
  }

  whole() {
    this.view = { x: 0.5, y: 0.5, zoom: 1 };
    this.later();
  }

  /** Bring these rows into view, as large as they fit. */
  lookAt(rows) {
    let [x0, y0, x1, y1] = [1, 1, 0, 0];
    for (const row of rows) {
      x0 = Math.min(x0, this.points.x[row]);
      y0 = Math.min(y0, this.points.y[row]);
      x1 = Math.max(x1, this.points.x[row]);
      y1 = Math.max(y1, this.points.y[row]);
    }
    const zoom = Math.min(12, 0.8 / Math.max(x1 - x0, y1 - y0, 0.01));
    this.view = { x: (x0 + x1) / 2, y: (y0 + y1) / 2, zoom: Math.max(NEAREST_ZOOM, zoom) };
    this.later();
  }

  /** The row at a pixel: a picture there, or the nearest point; -1 for none. */
  at(px, py) {
    if (!this.points || !this.look) return -1;
    const over = this.shownFaces.findLast(([, x, y]) => Math.abs(x - px) <= FACE / 2 && Math.abs(y - py) <= FACE / 2);
    if (over) return over[0];
    const [x, y] = this.toMap(px, py);
    return this.points.nearest(x, y, TOUCH / this.across, TOUCH / this.down, this.isShown);
  }

  // --- drawing

  later() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    if (!this.painter) return;
    const style = getComputedStyle(this.root);
    this.paper = style.getPropertyValue("background-color").match(/\d+/g)?.slice(0, 3).map(Number) ?? [255, 255, 255];
    this.painter.fill(this.paper);
    if (this.points && this.look) this.press();
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.putImageData(this.painter.image, 0, 0);
    if (!this.points || !this.look) return;
    this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    this.drawFaces();
    this.drawNames(style);
    this.hand.draw(this.context, style);
    if (this.canvas.getAttribute("aria-busy") !== "false") this.canvas.setAttribute("aria-busy", "false");
    this.rest();
  }

  /** A point's radius in pixels of the screen: what many points leave room for, growing as the view comes near. */
  get radius() {
    const room = Math.sqrt((this.width * this.height) / (this.points.count * 10)) * Math.sqrt(this.view.zoom);
    return Math.max(1.4, Math.min(6, room));
  }

  press() {
    const { points, look, painter, ratio, inView, chosen, view } = this;
    const { x, y } = points;
    const { group, alpha, visible, red, green, blue, shapes } = look;
    const reach = (FACE / 2 + EDGE) / Math.min(this.across, this.down);
    const [x0, y0] = this.toMap(0, 0);
    const [x1, y1] = this.toMap(this.width, this.height);
    const count = (this.found = points.around(x0 - reach, y0 - reach, x1 + reach, y1 + reach, inView));
    const stamps = SHAPES.map((_, shape) => painter.stamp(shape, this.radius * ratio));
    const plain = painter.stamp(0, this.radius * ratio * 0.85);
    const [kx, ky] = [this.across * ratio, this.down * ratio];
    const [tx, ty] = [(this.width / 2) * ratio - view.x * kx, (this.height / 2) * ratio - view.y * ky];
    // What says least lies below: first what has no name or is not chosen.
    for (let above = 0; above < 2; above += 1)
      for (let k = 0; k < count; k += 1) {
        const row = inView[k];
        if (!visible[row]) continue;
        const g = group[row];
        const faint = chosen !== null && !chosen[row];
        if ((g >= 0 && !faint) !== Boolean(above)) continue;
        const px = Math.round(x[row] * kx + tx);
        const py = Math.round(y[row] * ky + ty);
        const strength = (faint ? FAINT : 1) * (alpha && g >= 0 ? alpha[row] : 1);
        if (g < 0) painter.press(plain, px, py, GREY[0], GREY[1], GREY[2], chosen?.[row] ? 1 : strength * 0.8);
        else painter.press(stamps[shapes[g]], px, py, red[g], green[g], blue[g], strength);
      }
  }

  /** The places of the pictures in view: none where points are so many, or so close, that most would be hidden. */
  roomForFaces() {
    const { points, inView, found } = this;
    const places = [];
    const most = CROWD * ((this.width * this.height) / FACE ** 2);
    for (let k = 0; k < found; k += 1) if (this.isShown(inView[k]) && (!this.chosen || this.chosen[inView[k]])) places.push(inView[k]);
    if (!this.pictures || places.length > most) return [];
    places.sort((a, b) => a - b); // the same ones, wherever the view has come from
    // In pixels of the whole map, not of the window: a picture that is there stays while the map is dragged.
    const free = apart(places.map((row) => [row, points.x[row] * this.across, points.y[row] * this.down]), FACE);
    if (free.length * HIDDEN < places.length) return [];
    return free.map(([row]) => [row, ...this.toScreen(points.x[row], points.y[row])]);
  }

  drawFaces() {
    const { context, look } = this;
    this.wanted = this.roomForFaces();
    this.shownFaces = this.wanted.filter(([row]) => this.faces.get(this.points.ids[row]));
    for (const [row, x, y] of this.shownFaces) {
      const g = look.group[row];
      const colour = g < 0 ? `rgb(${GREY})` : `rgb(${look.red[g]},${look.green[g]},${look.blue[g]})`;
      context.fillStyle = colour;
      context.fillRect(x - FACE / 2 - 2, y - FACE / 2 - 2, FACE + 4, FACE + 4);
      context.drawImage(this.faces.get(this.points.ids[row]), x - FACE / 2, y - FACE / 2, FACE, FACE);
      if (g < 0) continue;
      context.beginPath(); // its mark in a corner, so that the colour is not the only cue
      for (const [u, v] of SHAPES[look.shapes[g]]) context.lineTo(x - FACE / 2 + 7 + u * 6, y - FACE / 2 + 7 + v * 6);
      context.closePath();
      context.strokeStyle = "#fff";
      context.lineWidth = 2;
      context.stroke();
      context.fill();
    }
  }

  drawNames(style) {
    const { context } = this;
    const taken = [];
    context.font = `600 13px ${style.fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.lineJoin = "round";
    for (const { text, x, y } of this.names) {
      let [px, py] = this.toScreen(x, y);
      if (px < 0 || py < 0 || px > this.width || py > this.height) continue;
      const half = context.measureText(text).width / 2 + 6;
      px = Math.max(half, Math.min(this.width - half, px));
      if (taken.some(([u, v, w]) => Math.abs(u - px) < half + w && Math.abs(v - py) < 20)) continue;
      taken.push([px, py, half]);
      context.strokeStyle = `rgb(${this.paper})`;
      context.lineWidth = 4;
      context.strokeText(text, px, py);
      context.fillStyle = style.color;
      context.fillText(text, px, py);
    }
  }

  fetchFaces() {
    const middle = ([, x, y]) => Math.hypot(x - this.width / 2, y - this.height / 2);
    const within = (this.wanted ?? []).filter(([, x, y]) => x > -FACE && y > -FACE && x < this.width + FACE && y < this.height + FACE);
    this.faces.want(within.sort((a, b) => middle(a) - middle(b)).map(([row]) => this.points.ids[row]));
  }
}
