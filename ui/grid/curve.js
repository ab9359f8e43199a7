// Figures of a training over its epochs, as small charts that share their way of drawing.

const CHART = { width: 480, height: 190, left: 44, right: 14, top: 12, bottom: 24 }; // px

/** One chart of `rows` over their epochs; `lines` are [key, name, digits], and `best` is a row to mark. */
function chart(rows, lines, best = null) {
  const { width, height, left, right, top, bottom } = CHART;
  const shown = lines.map(([key, name]) => ({ key, name, points: rows.filter((row) => Number.isFinite(row[key])) })).filter(({ points }) => points.length);
  const title = shown.map(({ name }) => name).join(", ");
  if (!shown.length || Math.max(...shown.map(({ points }) => points.length)) < 2) return el("p.quiet.begins", {}, say("jobs.curve_begins"));
  const all = shown.flatMap(({ key, points }) => points.map((row) => row[key]));
  const epochs = shown.flatMap(({ points }) => points.map((row) => row.epoch));
  const [first, last] = [Math.min(...epochs), Math.max(...epochs)];
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
  const [from, to] = [low - room, high + room];
  const x = (epoch) => left + ((epoch - first) / Math.max(1e-9, last - first)) * (width - left - right);
  const y = (value) => height - bottom - ((value - from) / (to - from)) * (height - top - bottom);
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const said = shown.map(({ key, name, points }) => say("jobs.curve_said", { name, first: points[0][key].toFixed(2), now: points.at(-1)[key].toFixed(2) })).join(" ");
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said, class: "curve" });
  for (let k = 0; k <= 3; k += 1) {
    const value = from + ((to - from) * k) / 3;
    drawing.append(svg("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "rule" }), svg("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(2)));
  }
  drawing.append(svg("text", { x: left, y: height - 6 }, say("jobs.epoch", { epoch: Math.ceil(first) })), svg("text", { x: width - right, y: height - 6, "text-anchor": "end" }, say("jobs.epoch", { epoch: Math.ceil(last) })));
  for (const { key, points } of shown) {
    drawing.append(svg("path", { d: points.map((row, k) => `${k ? "L" : "M"}${x(row.epoch).toFixed(1)},${y(row[key]).toFixed(1)}`).join(""), class: key }));
    if (points.length < 60) for (const row of points) drawing.append(svg("circle", { cx: x(row.epoch), cy: y(row[key]), r: row === best && key === "quality" ? 5 : 2.5, class: row === best && key === "quality" ? `${key} best` : key }));
  }
  return el("figure", { "aria-label": title }, drawing, el("figcaption.key.small", {}, shown.map(({ key, name }) => el(`span.${key}`, {}, el("i", { "aria-hidden": "true" }, "━ "), name))));
}

/** The row whose quality was the best so far, the last of equals: what "stop and keep the best" keeps. */
function bestOf(rows) {
  return rows.reduce((best, row) => (Number.isFinite(row.quality) && row.quality >= (best?.quality ?? -1) ? row : best), null);
}

/** Loss in one chart, in the other what it has brought: the quality without labels, and k-NN where there are labels. */
function curves(rows) {
  return el("div.charts", {}, chart(rows, [["loss", say("jobs.loss")]]), chart(rows, [["quality", say("jobs.quality")], ["knn", say("jobs.knn")]], bestOf(rows)));
}
