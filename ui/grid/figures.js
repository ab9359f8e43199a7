// The classifier's figures as tables and one drawing, each number with its interval.

const share = (value, [low, high]) => `${percent(value)} (${Math.round(100 * low)}–${Math.round(100 * high)})`;

/** A share as a bar, with its interval as a line over it. */
function shareBar(value, interval) {
  if (value === null) return el("span.quiet", {}, "–");
  const [low, high] = interval;
  return el("span.share", {}, el("span.gauge", { "aria-hidden": "true" }, el("span.fill", { style: `width:${100 * value}%` }), el("span.within", { style: `left:${100 * low}%;width:${100 * (high - low)}%` })), el("span.number", {}, share(value, interval)));
}

function table(title, heads, rows, kind = "") {
  return el(`table.figures${kind}`, { "aria-label": title }, el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, rows.map(([first, ...rest]) => el("tr", {}, el("th", { scope: "row" }, first), rest.map((cell) => el("td", {}, cell))))));
}

/** Labelled (rows) against predicted (columns); a cell opens its pictures. */
function confusionTable({ classes, confusion }, open) {
  const largest = Math.max(1, ...confusion.flat());
  const names = classes.map(classWords);
  const cell = (n, i, j) =>
    el(
      i === j ? "td.right" : "td",
      { style: `--much:${Math.round((n / largest) * 70)}%` },
      n ? el("button.plain", { type: "button", title: say("report.cell", { labelled: names[i], predicted: names[j] }), "aria-label": `${number(n)}: ${say("report.cell", { labelled: names[i], predicted: names[j] })}`, onclick: () => open(classes[i], classes[j]) }, String(n)) : "",
    );
  return el(
    "table.confusion",
    { "aria-label": say("report.confusion") },
    el("thead", {}, el("tr", {}, el("td"), names.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, confusion.map((row, i) => el("tr", {}, el("th", { scope: "row" }, names[i]), row.map((n, j) => cell(n, i, j))))),
  );
}

function perClassTable(perClass) {
  const heads = [say("report.class"), say("report.labels"), say("report.precision"), say("report.recall")];
  return table(say("report.per_class"), heads, perClass.map((one) => [classWords(one.class), number(one.labels), shareBar(one.precision, one.precision_interval), shareBar(one.recall, one.recall_interval)]));
}

function reliabilityTable(bins) {
  const heads = [say("report.says"), say("report.labels"), say("report.is_right")];
  return table(say("report.reliability"), heads, bins.map((bin) => [`${percent(bin.from)} – ${percent(bin.to)}`, number(bin.labels), shareBar(bin.right, bin.interval)]));
}

function auditTable({ classes }) {
  const heads = [say("report.class"), say("report.found"), say("report.still_to_find")];
  return table(say("report.audit"), heads, classes.map((one) => [one.class, number(one.found), say("report.about_so_many", { n: one.still_to_find, low: number(one.interval[0]), high: number(one.interval[1]) })]));
}

/** Accuracy with a part of the labels, with its interval, and where ten more would lead. */
function learningCurve({ points: measured, more, worth }) {
  const [width, height, left, right, top, bottom] = [440, 190, 42, 12, 10, 28];
  const last = measured.at(-1);
  const end = { labels: last.labels + more, accuracy: Math.min(1, last.accuracy + worth) };
  const lowest = Math.min(...measured.map(({ interval }) => interval[0]));
  const floor = Math.max(0, Math.floor(lowest * 10 - 0.01) / 10);
  const x = (labels) => left + ((labels - measured[0].labels) / Math.max(1, end.labels - measured[0].labels)) * (width - left - right);
  const y = (accuracy) => height - bottom - ((accuracy - floor) / Math.max(0.1, 1 - floor)) * (height - top - bottom);
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const said = measured.map(({ labels, accuracy }) => say("report.curve_point", { n: labels, share: percent(accuracy) })).join("; ");
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${say("report.curve")}: ${said}`, class: "learning" });
  for (const level of [floor, (floor + 1) / 2, 1]) drawing.append(svg("line", { x1: left, x2: width - right, y1: y(level), y2: y(level), class: "rule" }), svg("text", { x: left - 6, y: y(level) + 4, "text-anchor": "end" }, percent(level)));
  const path = (list) => list.map(({ labels, accuracy }, k) => `${k ? "L" : "M"}${x(labels).toFixed(1)},${y(accuracy).toFixed(1)}`).join("");
  drawing.append(svg("path", { d: path(measured), class: "measured" }), svg("path", { d: path([last, end]), class: "foretold" }));
  for (const { labels, accuracy, interval } of measured) {
    drawing.append(svg("line", { x1: x(labels), x2: x(labels), y1: y(interval[0]), y2: y(interval[1]), class: "within" }), svg("circle", { cx: x(labels), cy: y(accuracy), r: 3.5, class: "measured" }));
    drawing.append(svg("text", { x: x(labels), y: height - 8, "text-anchor": "middle" }, number(labels)));
  }
  return drawing;
}
