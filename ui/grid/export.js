// Taking the selection away: a list of the pictures, as CSV or JSON, written here from what the API says of them.

const AT_ONCE = 500; // pictures a request, when a filter is selected
const COLUMNS = ["id", "folder", "name", "width", "height", "taken_at", "camera", "class", "answer", "predicted", "probability"];

const exported = (image) => ({ ...image, predicted: image.predicted?.class ?? null, probability: image.predicted?.probability ?? null });

/** A table as RFC 4180 has it. A text that a spreadsheet would run as a formula is kept a text. */
function toCsv(rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return [COLUMNS.join(","), ...rows.map((row) => COLUMNS.map((name) => cell(row[name])).join(","))].join("\r\n") + "\r\n";
}

/** Everything a filter keeps, page by page. */
async function allThatMatch(collection, filter, progress) {
  const found = [];
  for (;;) {
    const page = await get(of(collection, `images?${inUrl({ ...filter, sort: "oldest", offset: found.length, limit: AT_ONCE })}`));
    found.push(...page.items);
    progress(found.length, page.total);
    if (!page.items.length || found.length >= page.total) return found;
  }
}

/** Every picture of a list of ids. */
async function allListed(collection, ids, progress) {
  const found = [];
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    found.push(...(await post(of(collection, "images/list"), { image_ids: ids.slice(at, at + AT_ONCE) })).items);
    progress(found.length, ids.length);
  }
  return found;
}

/** Hand a file to the browser's downloads. */
function handOver(text, type, name) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

async function exportSelection(collection, selection, format, progress) {
  const images = selection.everything ? await allThatMatch(collection, selection.everything.filter, progress) : selection.listed ? await allListed(collection, [...selection.listed], progress) : [...selection.images.values()];
  const rows = images.map(exported);
  if (format === "csv") handOver(toCsv(rows), "text/csv", `${collection}.csv`);
  else handOver(JSON.stringify(rows.map((row) => Object.fromEntries(COLUMNS.map((name) => [name, row[name] ?? null]))), null, 1), "application/json", `${collection}.json`);
  return images.length;
}
