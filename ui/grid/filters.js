// Which pictures: a menu that sets any key of the API's filter, and a chip for each key that is set, which removes it.

const CHOICES = { labelled: ["true", "false"], missing: ["true", "false"], orientation: ["landscape", "portrait", "square"] };
const NUMBERS = { min_probability: { min: 0, max: 1, step: 0.05 }, min_side: { min: 0, step: 1 }, cluster: { min: 0, step: 1 } };
const DATES = ["taken_from", "taken_to", "imported_since"];
const CLASSES = ["class", "predicted"];
// `text` has a box of its own; `cluster` is set by the map, whose numbers nobody knows by heart.
const IN_MENU = ["class", "predicted", "min_probability", "labelled", "folder", "camera", "taken_from", "taken_to", "imported_since", "orientation", "min_side", "missing", "within"];
const FILTER_KEYS = ["text", "cluster", ...IN_MENU];

/** A filter as the API reads it in a body, from texts as an address holds them; what is empty or unknown is left out. */
function readFilter(given) {
  const filter = {};
  for (const key of FILTER_KEYS) {
    const value = given[key];
    if (value === undefined || value === null || value === "") continue;
    if (key === "labelled" || key === "missing") filter[key] = String(value) === "true";
    else if (key in NUMBERS) Number.isFinite(Number(value)) && (filter[key] = Number(value));
    else filter[key] = String(value);
  }
  return filter;
}

/** The other way round: every value a text. */
const filterInAddress = (filter) => Object.fromEntries(Object.entries(filter).map(([key, value]) => [key, String(value)]));

class Filters {
  /** `change(filter)` is called with the new filter; `known(key)` gives values to offer for folder and camera. */
  constructor(change, known) {
    this.change = change;
    this.known = known;
    this.filter = {};
    this.classes = [];
    this.menu = new Menu(say("filter.add"), () => this.panel(), { title: say("filter.title") });
    this.chips = el("div.chips", { role: "group", "aria-label": say("filter.chosen") });
  }

  show(filter) {
    this.filter = filter;
    const shown = Object.keys(filter).filter((key) => key !== "text");
    this.chips.hidden = !shown.length;
    this.chips.replaceChildren(
      ...shown.map((key) => {
        const words = this.words(key, filter[key]);
        return el("button.chip", { type: "button", "aria-label": say("filter.remove", { words }), title: say("filter.remove", { words }), onclick: () => this.set(key, "") }, words, el("span.quiet", { "aria-hidden": "true" }, "✕"));
      }),
      shown.length > 1 ? el("button.link", { type: "button", onclick: () => this.change(this.filter.text ? { text: this.filter.text } : {}) }, say("filter.clear")) : "",
    );
  }

  words(key, value) {
    const shown = key in CHOICES ? say(`filter.${key}_${value}`) : key === "min_probability" ? percent(value) : String(value);
    return key in CHOICES ? shown : say("filter.chip", { name: say(`filter.${key}`), value: shown });
  }

  set(key, value) {
    this.change(readFilter({ ...this.filter, [key]: value }));
  }

  panel() {
    const fields = IN_MENU.map((key) => {
      const input = this.input(key);
      input.addEventListener("change", () => input.reportValidity() && this.set(key, input.value.trim()));
      return [el("label", { for: `filter-${key}` }, say(`filter.${key}`)), input];
    });
    return el("div.fields", {}, fields);
  }

  input(key) {
    const about = { id: `filter-${key}` };
    const value = this.filter[key] === undefined ? "" : String(this.filter[key]);
    const options = CLASSES.includes(key) ? this.classes.map(({ name }) => [name, name]) : CHOICES[key]?.map((choice) => [choice, say(`filter.${key}_${choice}`)]);
    if (options) {
      const select = el("select", about, el("option", { value: "" }, say("filter.any")), options.map(([choice, text]) => el("option", { value: choice }, text)));
      select.value = value;
      return select;
    }
    if (key in NUMBERS) return el("input", { ...about, type: "number", value, ...filterInAddress(NUMBERS[key]) });
    if (DATES.includes(key)) return el("input", { ...about, type: "date", value: value.slice(0, 10) });
    const input = el("input", { ...about, type: "text", value, list: `known-${key}`, placeholder: key === "within" ? say("filter.within_example") : null });
    const known = el("datalist", { id: `known-${key}` }, (this.known(key) ?? []).map((one) => el("option", { value: one })));
    queueMicrotask(() => input.after(known));
    return input;
  }
}
