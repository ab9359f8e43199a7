// A class in the list beside the pictures: its key, how many have it, how sure the classifier is that these do.

function classItem({ name, key, colour, labels, predicted }, guess, give) {
  const guessed = guess?.class === name;
  return el(
    "li",
    {},
    el(
      guessed ? "button.guessed" : "button",
      { type: "button", "aria-label": say("label.class_labels", { name, n: labels }), style: `--colour:${colour}`, "aria-keyshortcuts": key, onclick: () => give(name) },
      el("kbd", {}, key ?? "·"),
      el("span.dot"),
      el("span.grow", {}, name),
      guessed ? el("span.sure", {}, percent(guess.probability)) : "",
      predicted === null ? "" : el("span.quiet.small.number", { title: say("label.predicted_so", { n: predicted }) }, `≈ ${number(predicted)}`),
      el("span.quiet.number", {}, number(labels)),
    ),
  );
}
