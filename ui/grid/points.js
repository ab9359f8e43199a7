// The points of a map: where each picture lies, and which of them lie where somebody points, looks or draws.

const CELLS = 128; // cells a side, by which points are found

class Points {
  /** From the API's columns, whose ids ascend; x and y are in 0 to 1. */
  constructor({ ids, x, y, cluster }) {
    this.ids = Float64Array.from(ids); // ids go beyond 32 bits
    this.x = Float32Array.from(x);
    this.y = Float32Array.from(y);
    this.cluster = Int32Array.from(cluster);
    this.starts = new Uint32Array(CELLS * CELLS + 1); // where each cell's rows begin in `order`
    this.order = new Uint32Array(this.count);
    for (let row = 0; row < this.count; row += 1) this.starts[this.cell(row) + 1] += 1;
    for (let cell = 0; cell < CELLS * CELLS; cell += 1) this.starts[cell + 1] += this.starts[cell];
    this.near = new Uint32Array(this.count); // room for the rows that are looked at
    const next = this.starts.slice();
    for (let row = 0; row < this.count; row += 1) this.order[next[this.cell(row)]++] = row;
  }

  get count() {
    return this.ids.length;
  }

  cell(row) {
    return along(this.y[row]) * CELLS + along(this.x[row]);
  }

  /** The row of a picture, -1 when it is not here. */
  rowOf(id) {
    let [low, high] = [0, this.count - 1];
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.ids[middle] === id) return middle;
      if (this.ids[middle] < id) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Write the rows of the cells that a rectangle touches into `into`; how many they are. */
  around(x0, y0, x1, y1, into) {
    let found = 0;
    for (let row = along(y0); row <= along(y1); row += 1) {
      const from = this.starts[row * CELLS + along(x0)];
      const to = this.starts[row * CELLS + along(x1) + 1]; // a row of cells lies in one piece
      into.set(this.order.subarray(from, to), found);
      found += to - from;
    }
    return found;
  }

  /** The row nearest to a place, at most `reachX`, `reachY` away in each direction's own measure; -1 for none. */
  nearest(x, y, reachX, reachY, shown) {
    const { near } = this;
    const count = this.around(x - reachX, y - reachY, x + reachX, y + reachY, near);
    let [best, least] = [-1, 1];
    for (let k = 0; k < count; k += 1) {
      const row = near[k];
      const far = ((this.x[row] - x) / reachX) ** 2 + ((this.y[row] - y) / reachY) ** 2;
      if (far <= least && shown(row)) [best, least] = [row, far];
    }
    return best;
  }

  /** The rows inside a polygon [[x, y], …], by the rule of odd crossings. */
  within(polygon, shown) {
    const xs = polygon.map(([x]) => x);
    const ys = polygon.map(([, y]) => y);
    const { near } = this;
    const count = this.around(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), near);
    const found = [];
    for (let k = 0; k < count; k += 1) if (shown(near[k]) && inPolygon(polygon, this.x[near[k]], this.y[near[k]])) found.push(near[k]);
    return found.sort((a, b) => a - b);
  }
}

const along = (value) => Math.max(0, Math.min(CELLS - 1, Math.floor(value * CELLS)));

function inPolygon(polygon, x, y) {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[a, b], [c, d]] = [polygon[i], polygon[j]];
    if (b > y !== d > y && x < ((c - a) * (y - b)) / (d - b) + a) inside = !inside;
  }
  return inside;
}

/** The middle of some rows' values. */
function middle(rows, values) {
  const sorted = Float32Array.from(rows, (row) => values[row]).sort();
  return sorted[sorted.length >> 1];
}
