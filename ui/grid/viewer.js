// One picture large, with what is known of it; arrows go to its neighbours, the grid's keys work here too.

class Viewer {
  constructor(root, grid) {
    this.grid = grid;
    this.picture = el("img", { alt: "" });
    this.facts = el("div.facts");
    this.dialog = el(
      "dialog.viewer",
      {
        "aria-label": "Picture",
        onkeydown: (event) => this.key(event),
        onclose: () => {
          this.picture.removeAttribute("src");
          grid.scroller.focus({ preventScroll: true });
        },
        onclick: (event) => event.target === this.dialog && this.dialog.close(),
      },
      el("div.stage", { tabindex: "-1", autofocus: true }, this.picture, el("button.turn.before", { type: "button", "aria-label": "Previous picture", onclick: () => this.step(-1) }, "‹"), el("button.turn.after", { type: "button", "aria-label": "Next picture", onclick: () => this.step(1) }, "›")),
      this.facts,
    );
    root.append(this.dialog);
  }

  open(position) {
    const image = this.grid.items[position]?.image;
    if (!image) return;
    this.show(image);
    if (!this.dialog.open) this.dialog.showModal();
  }

  show(image) {
    this.image = image;
    this.picture.src = image.preview; // at once; the larger one when it is there
    const large = new Image();
    large.onload = () => this.image === image && (this.picture.src = large.src);
    large.src = `/v1/images/${image.id}/rendition`;
    this.picture.alt = image.name;
    const fact = (name, value) => (value ? [el("dt", {}, name), el("dd", {}, value)] : []);
    const date = (iso) => iso && new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
    const { similar, label } = this.grid.does;
    const close = el("button.plain.close", { type: "button", "aria-label": "Close", onclick: () => this.dialog.close() }, "✕");
    this.facts.replaceChildren(
      el("div.row", {}, el("h2.grow", {}, image.name), close),
      el(
        "dl",
        {},
        fact("Folder", image.folder),
        fact("Size", `${image.width} × ${image.height}, ${megabytes(image.bytes)} ${image.format}`),
        fact("Taken", date(image.taken_at)),
        fact("Camera", image.camera),
        fact("Added", date(image.added_at)),
        fact("Class", image.class),
        fact("Looks like", !image.class && image.predicted ? `${image.predicted.class}, ${percent(image.predicted.probability)}` : null),
      ),
      similar ? el("button.primary", { type: "button", onclick: () => (this.dialog.close(), similar([image])) }, "Find similar") : "",
      label ? el("p.quiet.small", {}, "Press 1–9 to give it the class with that key, ← and → for the pictures beside it.") : "",
      el("a.small", { href: `/v1/images/${image.id}/original`, download: image.name }, "Save the original"),
    );
  }

  step(by) {
    this.grid.move(this.grid.focus + by, false);
    this.open(this.grid.focus);
  }

  async key(event) {
    event.stopPropagation();
    const { label, similar } = this.grid.does;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.step(event.key === "ArrowLeft" ? -1 : 1);
    else if (/^[1-9]$/.test(event.key) && label) {
      await label(event.key, [this.image]);
      this.show(this.image);
    } else if (event.key.toLowerCase() === "s" && similar && !event.ctrlKey) {
      this.dialog.close();
      similar([this.image]);
    } else return;
    event.preventDefault();
  }
}

/** The list of shortcuts, opened with "?". */
function shortcuts(root, lines) {
  const dialog = el(
    "dialog.shortcuts",
    { "aria-label": "Shortcuts", onclose: () => dialog.remove() },
    el("h2", {}, "Shortcuts"),
    el("dl", {}, lines.map(([keys, what]) => [el("dt", {}, keys.split(" ").map((k) => [el("kbd", {}, k), " "])), el("dd", {}, what)])),
    el("form", { method: "dialog" }, el("button", {}, "Close")),
  );
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  root.append(dialog);
  dialog.showModal();
}
