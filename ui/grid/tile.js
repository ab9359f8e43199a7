// One tile: a picture, what can be done with it under the pointer, and the words on it.

/** Make the tile of a picture. `does` says what there is to do. */
function fillTile(tile, { image }, does) {
  const act = (name, sign, title) => el(`span.act.${name}`, { "data-act": name, "aria-hidden": "true", title }, sign);
  tile.dataset.id = image.id;
  tile.replaceChildren(
    el("img", { src: image.preview, alt: "", decoding: "async", draggable: true, title: image.folder ? `${image.folder}/${image.name}` : image.name }),
    act("pick", "", say("grid.select")),
    el(
      "span.corner",
      {},
      does.refine ? [act("yes", "✓", say("grid.more_like")), act("no", "✗", say("grid.less_like"))] : "",
      does.why ? act("why", "?", say("grid.why")) : "",
      act("open", "⤢", say("grid.open")),
    ),
    does.similar ? act("similar", `≈ ${say("grid.similar")}`, say("grid.find_similar_key")) : "",
    el("span.words", { "aria-hidden": "true" }),
  );
}

/** Everything on a tile that changes while it is in view: words, colours, selection. */
function markTile(tile, { image, score, probability, alike, reason }, { selected, mark, colours }) {
  const guess = image.class ? null : image.predicted;
  const label = image.classes?.length > 1 ? image.classes.join(", ") : image.class;
  const named = image.class ?? guess?.class;
  const sure = probability ?? guess?.probability;
  const other = { unsure: say("grid.unsure"), none_of_these: say("grid.none_of_these") }[image.answer];
  tile.querySelector(".words").replaceChildren(
    score === undefined ? "" : el("span.score", {}, score.toFixed(2)),
    alike?.length ? el("span.alike", {}, `+${alike.length}`) : "",
    named
      ? el(
          "span.class",
          {},
          el(guess ? "span.dot.guess" : "span.dot", { style: `--colour:${colours.get(named) ?? "#bbb"}` }),
          el("span.name", {}, label ?? named),
          guess || probability !== undefined ? el("span.sure", {}, percent(sure)) : "",
        )
      : "",
    other && !image.class ? el("span.class", {}, other) : "",
  );
  tile.setAttribute("aria-selected", String(selected));
  tile.setAttribute(
    "aria-label",
    [
      image.name,
      image.class && say("grid.labelled_as", { name: label }),
      guess && say("grid.looks_like", { name: guess.class, sure: percent(guess.probability) }),
      score !== undefined && say("grid.score", { score: score.toFixed(2) }),
      alike?.length && say("grid.with_alike", { n: alike.length }),
      image.missing && say("grid.missing"),
      reason,
    ]
      .filter(Boolean)
      .join(", "),
  );
  tile.classList.toggle("wanted", mark === "yes");
  tile.classList.toggle("unwanted", mark === "no");
}
