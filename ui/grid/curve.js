// A training as a curve: its loss, and its quality where that was measured.

/** Loss and quality over the steps so far, as one picture. */
function curve(rows) {
  const [width, height, left, right, top, bottom] = [640, 220, 44, 44, 12, 26];
  const points = rows.filter((row) => Number.isFinite(row.loss));
  if (points.length < 2) return el("p.quiet", {}, say("jobs.curve_begins"));
  const steps = points.map((row) => row.step);
  const [first, last] = [steps[0], steps.at(-1)];
  const x = (step) => left + ((step - first) / Math.max(1, last - first)) * (width - left - right);
  const scale = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
    const [from, to] = [low - room, high + room];
    return { from, to, y: (value) => height - bottom - ((value - from) / (to - from)) * (height - top - bottom) };
  };
  const loss = scale(points.map((row) => row.loss));
  const good = points.filter((row) => Number.isFinite(row.quality));
  const quality = good.length ? scale(good.map((row) => row.quality)) : null;
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const path = (list, y, key) => list.map((row, k) => `${k ? "L" : "M"}${x(row.step).toFixed(1)},${y(row[key]).toFixed(1)}`).join("");
  const about = { first: points[0].loss.toFixed(2), now: points.at(-1).loss.toFixed(2), quality: quality ? good.at(-1).quality.toFixed(2) : "" };
  const said = say(quality ? "jobs.curve_with_quality" : "jobs.curve_said", about);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said, class: "curve" });
  for (let k = 0; k <= 3; k += 1) {
    const value = loss.from + ((loss.to - loss.from) * k) / 3;
    const y = loss.y(value);
    drawing.append(svg("line", { x1: left, x2: width - right, y1: y, y2: y, class: "rule" }), svg("text", { x: left - 6, y: y + 4, "text-anchor": "end", class: "loss" }, value.toFixed(2)));
    if (quality) drawing.append(svg("text", { x: width - right + 6, y: y + 4, class: "quality" }, (quality.from + ((quality.to - quality.from) * k) / 3).toFixed(2)));
  }
  const epochs = points.at(-1).epoch;
  drawing.append(svg("text", { x: left, y: height - 6, class: "axis" }, say("jobs.epoch", { epoch: Math.ceil(points[0].epoch) })), svg("text", { x: width - right, y: height - 6, "text-anchor": "end", class: "axis" }, say("jobs.epoch", { epoch: Math.ceil(epochs) })));
  drawing.append(svg("path", { d: path(points, loss.y, "loss"), class: "loss" }));
  if (quality) {
    drawing.append(svg("path", { d: path(good, quality.y, "quality"), class: "quality" }));
    for (const row of good) drawing.append(svg("circle", { cx: x(row.step), cy: quality.y(row.quality), r: 2.5, class: "quality" }));
  }
  const key = el("p.key.small", {}, el("span.loss", {}, `━ ${say("jobs.loss")}`), quality ? el("span.quality", {}, `━ ${say("jobs.quality")}`) : "");
  return el("figure", {}, drawing, key);
}
