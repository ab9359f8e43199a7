// The small pictures that a map shows in place of points: fetched when they are in view, kept small, forgotten in time.

const FACE = 56; // pixels a side
const AT_A_TIME = 8; // requests under way
const KEPT_FACES = 800; // bitmaps

class Faces {
  constructor(arrived) {
    this.arrived = arrived;
    this.known = new Map(); // id → bitmap, or null where there is none; the ones used last are last
    this.waiting = [];
    this.open = 0;
  }

  get(id) {
    const face = this.known.get(id);
    if (face) {
      this.known.delete(id);
      this.known.set(id, face);
    }
    return face;
  }

  /** Fetch these next; what waited before and is out of view is not fetched any more. */
  want(ids) {
    this.waiting = ids.filter((id) => !this.known.has(id));
    while (this.open < AT_A_TIME && this.waiting.length) this.fetch(this.waiting.shift());
  }

  async fetch(id) {
    this.open += 1;
    this.known.set(id, null);
    try {
      const picture = new Image();
      picture.src = `/v1/images/${id}/preview`;
      await picture.decode();
      const side = Math.min(picture.naturalWidth, picture.naturalHeight);
      const [left, top] = [(picture.naturalWidth - side) / 2, (picture.naturalHeight - side) / 2];
      const size = FACE * Math.min(2, window.devicePixelRatio || 1);
      this.known.set(id, await createImageBitmap(picture, left, top, side, side, { resizeWidth: size, resizeHeight: size, resizeQuality: "medium" }));
      for (const old of this.known.keys()) {
        if (this.known.size <= KEPT_FACES) break;
        this.known.get(old)?.close();
        this.known.delete(old);
      }
      this.arrived();
    } catch {
      // a picture that left the collection since: its point stays a point
    } finally {
      this.open -= 1;
      if (this.waiting.length) this.fetch(this.waiting.shift());
    }
  }

  forget() {
    this.waiting = [];
    for (const face of this.known.values()) face?.close();
    this.known.clear();
  }
}

/** Of places [[row, x, y], …] in pixels those whose faces overlap no earlier one. */
function apart(places, side) {
  const taken = new Map(); // cell → [x, y] of the faces in it
  const key = (a, b) => a * 1_000_003 + b;
  const free = (x, y) => {
    const [a, b] = [Math.floor(x / side), Math.floor(y / side)];
    for (let i = a - 1; i <= a + 1; i += 1)
      for (let j = b - 1; j <= b + 1; j += 1) for (const [u, v] of taken.get(key(i, j)) ?? []) if (Math.abs(u - x) < side && Math.abs(v - y) < side) return false;
    return true;
  };
  return places.filter(([, x, y]) => {
    if (!free(x, y)) return false;
    const cell = key(Math.floor(x / side), Math.floor(y / side));
    if (!taken.has(cell)) taken.set(cell, []);
    taken.get(cell).push([x, y]);
    return true;
  });
}
