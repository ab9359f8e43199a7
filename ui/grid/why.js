// Why two pictures count as alike: both side by side, brighter where they match.

/** Paint cells (rows × columns, 0..1) over the part of a picture that they cover: `area`, x, y, width, height in 0..1. */
function heat({ rows, columns, cells, area = [0, 0, 1, 1] }) {
  const [x, y, width, height] = area.map((side) => `${side * 100}%`);
  const canvas = el("canvas.heat", { width: columns, height: rows, "aria-hidden": "true", style: `left:${x};top:${y};width:${width};height:${height}` });
  const paint = canvas.getContext("2d");
  const pixels = paint.createImageData(columns, rows);
  cells.flat().forEach((value, k) => pixels.data.set([255, 190, 0, Math.round(200 * Math.max(0, Math.min(1, value)))], 4 * k));
  paint.putImageData(pixels, 0, 0);
  return canvas;
}

/** Show it for `query` (a picture's or a query's id) and an image; `picture(id)` is an address. */
async function whyAlike(root, collection, query, image, picture) {
  const said = await get(of(collection, `why?${inUrl({ query, image: image.id })}`));
  const half = (src, alt, cells) => el("figure", {}, el("div.under", {}, el("img", { src, alt }), heat(cells)), el("figcaption.small.quiet", {}, alt));
  const shown = el("input", { type: "checkbox", checked: true, onchange: () => dialog.classList.toggle("bare", !shown.checked) });
  const dialog = el(
    "dialog.why",
    { "aria-label": say("why.title"), onclose: () => dialog.remove() },
    el("h2", {}, say("why.title")),
    el("p", {}, sentenceFor(said.sentence, said.said)),
    el("div.pair", {}, half(picture(query), say("why.searched_with"), said.query), half(image.preview, image.name, said.image)),
    el("form.row", { method: "dialog" }, el("label.row", {}, shown, say("why.show")), el("span.grow"), el("button", {}, say("common.close"))),
  );
  keepKeys(dialog);
  root.append(dialog);
  dialog.showModal();
}
