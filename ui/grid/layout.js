// Where each tile of a grid lies: rows of equal squares, with one line drawn across where the list says that it breaks.

const GAP = 6; // pixels between tiles
const LINE = 44; // pixels for the line across

class Layout {
  constructor() {
    this.total = 0;
    this.columns = 1;
    this.pitch = 0; // pixels from one tile to the next; 0 until the width is known
    this.breakAt = null; // the position that begins below the line
  }

  /** Fit tiles of about `size` pixels into `width`; the side they get. */
  fit(width, size) {
    const inner = width - 2 * GAP;
    this.columns = Math.max(2, Math.floor((inner + GAP) / (size + GAP)));
    this.side = (inner - GAP * (this.columns - 1)) / this.columns;
    this.pitch = this.side + GAP;
  }

  /** The rows above the line. */
  get before() {
    return this.breakAt === null ? Infinity : Math.ceil(this.breakAt / this.columns);
  }

  get rows() {
    if (this.breakAt === null) return Math.ceil(this.total / this.columns);
    return this.before + Math.ceil((this.total - this.breakAt) / this.columns);
  }

  get height() {
    return this.rows * this.pitch + GAP + (this.breakAt === null ? 0 : LINE);
  }

  /** [row, column] of a position. */
  cell(position) {
    if (this.breakAt === null || position < this.breakAt) return [Math.floor(position / this.columns), position % this.columns];
    const below = position - this.breakAt;
    return [this.before + Math.floor(below / this.columns), below % this.columns];
  }

  /** The position in a row and column, or the nearest there is. */
  at(row, column) {
    const last = Math.max(0, this.total - 1);
    if (row < this.before) return Math.max(0, Math.min(last, row * this.columns + column, this.breakAt === null ? last : this.breakAt - 1));
    return Math.min(last, this.breakAt + (row - this.before) * this.columns + column);
  }

  top(row) {
    return row * this.pitch + (row >= this.before ? LINE : 0);
  }

  /** The row that is at `y` pixels. */
  rowAt(y) {
    const row = Math.floor(y / this.pitch);
    return Math.max(0, row < this.before ? row : Math.max(this.before, Math.floor((y - LINE) / this.pitch)));
  }

  /** The corner of a position's tile, pixels from the canvas's. */
  spot(position) {
    const [row, column] = this.cell(position);
    return [GAP + column * this.pitch, GAP + this.top(row)];
  }

  /** The positions whose tiles a rectangle of the canvas touches. */
  touched(x0, y0, x1, y1) {
    const found = [];
    const [from, to] = [Math.floor((x0 - GAP) / this.pitch), Math.floor((x1 - GAP) / this.pitch)];
    for (let row = this.rowAt(y0 - GAP); row <= Math.min(this.rows - 1, this.rowAt(y1 - GAP)); row += 1)
      for (let column = Math.max(0, from); column <= Math.min(this.columns - 1, to); column += 1) {
        const position = this.at(row, column);
        const [r, c] = this.cell(position);
        if (r === row && c === column) found.push(position);
      }
    return found;
  }
}
