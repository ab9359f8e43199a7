// What points look like: colours that colour-blind eyes tell apart too, and a shape as a second cue; and how a hundred
// thousand of them are painted in a few milliseconds without a graphics card: pixel by pixel, from stamps.

// Okabe and Ito's colours, as the classes have them; yellow and black left out, which one of the two themes hides.
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6bb1"];
const GREY = [140, 144, 150]; // of what has no class, prediction or folder; seen on light and on dark
const SHAPES = [
  Array.from({ length: 16 }, (_, k) => [Math.cos((k * Math.PI) / 8), Math.sin((k * Math.PI) / 8)]), // circle
  [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]], // square
  [[0, -1.15], [1.1, 0.85], [-1.1, 0.85]], // triangle
  [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]], // diamond
  [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]], // cross
  [[0, 1.15], [1.1, -0.85], [-1.1, -0.85]], // triangle on its point
];
const FINE = 4; // samples a side of each pixel, when a stamp is cut
const WIDEST = 1.25; // of a shape, in radii

/** [red, green, blue] of "#rrggbb". */
const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

/** A CSS shape for the legend, the same as on the map. */
const clipped = (shape) => `polygon(${SHAPES[shape].map(([x, y]) => `${50 + x * 40}% ${50 + y * 40}%`).join(",")})`;

/** A shape of `radius` pixels as the pixels it covers: their offsets, and how much of each in 0 to 256. */
function cutStamp(shape, radius) {
  const reach = Math.ceil(radius * WIDEST + 0.5);
  const found = [];
  for (let dy = -reach; dy <= reach; dy += 1)
    for (let dx = -reach; dx <= reach; dx += 1) {
      let inside = 0;
      for (let k = 0; k < FINE * FINE; k += 1) inside += inPolygon(SHAPES[shape], (dx + ((k % FINE) + 0.5) / FINE - 0.5) / radius, (dy + (Math.floor(k / FINE) + 0.5) / FINE - 0.5) / radius);
      if (inside) found.push([dx, dy, Math.round((256 * inside) / (FINE * FINE))]);
    }
  return { reach, dx: Int16Array.from(found, ([x]) => x), dy: Int16Array.from(found, ([, y]) => y), cover: Uint16Array.from(found, ([, , c]) => c) };
}

/** A canvas's pixels, opaque throughout. */
class Painter {
  constructor(width, height) {
    this.image = new ImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer); // 0xAABBGGRR
    this.stamps = new Map(); // "shape radius" → stamp
  }

  fill([red, green, blue]) {
    this.pixels.fill(((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0);
  }

  stamp(shape, radius) {
    const key = `${shape} ${radius.toFixed(1)}`;
    if (!this.stamps.has(key)) this.stamps.set(key, cutStamp(shape, Number(radius.toFixed(1))));
    return this.stamps.get(key);
  }

  /** Press a stamp with its middle at a pixel; `alpha` is in 0 to 1. */
  press(stamp, x, y, red, green, blue, alpha) {
    const { pixels } = this;
    const { width, height } = this.image;
    const { dx, dy, cover, reach } = stamp;
    if (x < -reach || y < -reach || x >= width + reach || y >= height + reach) return;
    const whole = x >= reach && y >= reach && x < width - reach && y < height - reach;
    for (let k = 0; k < cover.length; k += 1) {
      const px = x + dx[k];
      const py = y + dy[k];
      if (!whole && (px < 0 || py < 0 || px >= width || py >= height)) continue;
      const at = py * width + px;
      const share = (cover[k] * alpha) | 0; // 0 to 256
      const under = pixels[at];
      const r = under & 255;
      const g = (under >> 8) & 255;
      const b = (under >> 16) & 255;
      pixels[at] = (0xff000000 | ((b + (((blue - b) * share) >> 8)) << 16) | ((g + (((green - g) * share) >> 8)) << 8) | (r + (((red - r) * share) >> 8))) >>> 0;
    }
  }
}
