// Before a training: what the pictures are, what that takes for the same, where to start, and what it will cost.

const PRESETS = ["photo", "fine-grained", "microscopy", "texture", "product", "drawing"];
const BACKBONES = ["resnet18", "resnet50", "resnet101"];

class Setup {
  /** `started` gets the job that was begun. */
  constructor(started) {
    this.started = started;
    this.cost = new Cost(() => ({ collection: this.collection, ...this.body() }));
    this.pairs = new Pairs(() => this.cost.forget());
    const option = (value, text) => el("option", { value }, text);
    const field = (text, input) => el("label.field", {}, el("span", {}, text), input);
    const changed = () => this.changed();
    this.kind = el("select", { onchange: changed });
    this.changes = el("input", { type: "text", placeholder: "mirror=0,blur=0.1", autocomplete: "off", onchange: changed });
    this.start = el("select", { onchange: changed });
    const whole = (least, most, step = 1) => el("input", { type: "number", min: String(least), max: String(most), step: String(step), placeholder: say("train.as_suits"), onchange: changed });
    [this.epochs, this.batch, this.size] = [whole(1, 2000), whole(4, 65_536), whole(16, 1024, 16)];
    this.backbone = el("select", { onchange: changed }, BACKBONES.map((name) => option(name, name)));
    this.go = el("button.primary", { type: "submit" }, say("train.start"));
    this.bad = el("p.bad", { role: "alert" });
    this.root = el(
      "form.setup",
      { novalidate: true, onsubmit: (event) => (event.preventDefault(), this.begin()) },
      el("div.fields", {}, field(say("train.kind"), this.kind), field(say("train.changes"), this.changes), field(say("train.start_from"), this.start)),
      this.pairs.root,
      el("details", {}, el("summary", {}, say("home.more")), el("div.fields", {}, field(say("train.epochs"), this.epochs), field(say("train.batch"), this.batch), field(say("train.size"), this.size), field(say("train.backbone"), this.backbone))),
      this.cost.root,
      this.bad,
      el("div.row", {}, this.go, this.cost.button),
    );
    // Enter in a field takes its value, and does not start hours of work.
    this.root.addEventListener("keydown", (event) => event.key === "Enter" && event.target.tagName === "INPUT" && (event.preventDefault(), this.changed()));
  }

  destroy() {
    this.pairs.destroy();
    this.cost.destroy();
  }

  /** Draw what the collection and the models offer; what was chosen stays, where there still is such a thing. */
  show(collection, models) {
    const first = this.collection !== collection.name;
    this.collection = collection.name;
    const kinds = PRESETS.includes(collection.preset) ? PRESETS : [collection.preset, ...PRESETS];
    const starts = [["default", say("train.start_default")], ["random", say("train.start_random")], ...models.map((one) => [one.fingerprint, say("train.start_model", { model: one.fingerprint.slice(0, 8), backbone: one.backbone })])];
    const fill = (select, values, chosen) => {
      const before = first ? chosen : select.value;
      select.replaceChildren(...values.map(([value, text]) => el("option", { value }, text)));
      select.value = values.some(([value]) => value === before) ? before : values[0][0];
    };
    fill(this.kind, kinds.map((name) => [name, PRESETS.includes(name) ? `${say(`train.kind_${name}`)} (${name})` : name]), collection.preset);
    fill(this.start, starts, collection.active_model ?? "default");
    if (first) this.cost.forget();
    this.see();
  }

  changed() {
    this.cost.forget();
    this.bad.textContent = "";
    this.see();
  }

  see() {
    this.backbone.disabled = this.start.value !== "random";
    this.pairs.show(this.collection, this.preset());
  }

  preset() {
    return [this.kind.value, this.changes.value.replaceAll(" ", "")].filter(Boolean).join(",");
  }

  body() {
    const body = { init: this.start.value, preset: this.preset(), adopt: "never", pins: [...this.pairs.pins.keys()] };
    if (this.start.value === "random") body.backbone = this.backbone.value;
    for (const [name, input] of [["epochs", this.epochs], ["batch_size", this.batch], ["image_size", this.size]]) if (input.value !== "") body[name] = Number(input.value);
    return body;
  }

  async begin() {
    this.go.disabled = true;
    try {
      this.cost.forget();
      this.started(await post(of(this.collection, "trainings"), this.body()));
    } catch (error) {
      this.bad.textContent = error.message;
    }
    this.go.disabled = false;
  }
}
