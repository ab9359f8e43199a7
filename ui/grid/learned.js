// What the labels teach so far, in words: accuracy with its interval, or what is still missing; and the confusion table.

/** One sentence about the classifier. 409 is not a fault: the API's sentence says what to do. */
async function learned(collection) {
  try {
    const probe = await get(of(collection, "probe"));
    return { probe, ...inWords(probe) };
  } catch (error) {
    if (error.status === 409) return { probe: null, head: say("label.too_few"), rest: capital(error.message.replace(/^not enough labels yet[:.,;]?\s*/i, "")) };
    throw error;
  }
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function inWords({ accuracy, interval, labels, note }) {
  if (accuracy === null) return { head: say("label.accuracy_unknown"), rest: note ?? say("label.label_more") };
  const [low, high] = interval ?? [0, 1];
  const measured = say(interval ? "label.measured_between" : "label.measured", { low: percent(low), high: percent(high), n: labels });
  return { head: say("label.right", { share: percent(accuracy) }), rest: note ? `${measured} ${note}` : measured };
}

/** Labelled (rows) against predicted (columns); a cell opens its pictures. */
function confusionTable({ classes, confusion }, open) {
  const largest = Math.max(1, ...confusion.flat());
  const cell = (n, i, j) =>
    el(
      i === j ? "td.right" : "td",
      { style: `--much:${Math.round((n / largest) * 70)}%` },
      n ? el("button.plain", { type: "button", title: say("label.cell", { labelled: classes[i], predicted: classes[j] }), onclick: () => open(classes[i], classes[j]) }, String(n)) : "",
    );
  return el(
    "table.confusion",
    { "aria-label": say("label.confusion") },
    el("thead", {}, el("tr", {}, el("th"), classes.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, confusion.map((row, i) => el("tr", {}, el("th", { scope: "row" }, classes[i]), row.map((n, j) => cell(n, i, j))))),
  );
}
