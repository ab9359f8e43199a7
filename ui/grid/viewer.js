// One picture large, with what is known of it, those like it, and what was said about it before.
// Arrows go to its neighbours, the grid's keys work here too; a box drawn on it is something to search with.

const NEAREST = 8; // pictures like this one on show
const SHOWABLE = { JPEG: "image/jpeg", MPO: "image/jpeg", PNG: "image/png", WEBP: "image/webp", GIF: "image/gif", AVIF: "image/avif", BMP: "image/bmp" };

class Viewer {
  constructor(root, board) {
    this.board = board;
    this.grid = board.grid;
    this.picture = el("img", { alt: "" });
    this.facts = el("div.facts");
    const turn = (by, name, sign) => el(`button.turn.${name}`, { type: "button", "aria-label": say(`viewer.${name}`), onclick: () => this.step(by) }, sign);
    this.stage = el("div.stage", { tabindex: "-1", autofocus: true }, this.picture, turn(-1, "before", "‹"), turn(1, "after", "›"));
    this.drawing = new DrawBox(this.stage, this.picture, (box) => this.searchBox(box));
    this.dialog = el(
      "dialog.viewer",
      {
        "aria-label": say("viewer.title"),
        onkeydown: (event) => this.key(event),
        onclose: () => this.closed(),
        onclick: (event) => event.target === this.dialog && this.dialog.close(),
      },
      this.stage,
      this.facts,
    );
    root.append(this.dialog);
  }

  open(position) {
    const image = this.grid.items[position]?.image;
    if (image) this.look(image);
  }

  /** Show a picture; one that is `alone` is in no list, and has no neighbours to step to. */
  look(image, alone = false) {
    this.dialog.classList.toggle("alone", alone);
    if (!this.dialog.open) this.dialog.showModal();
    this.show(image);
  }

  closed() {
    this.image = null;
    this.forget();
    this.picture.removeAttribute("src");
    this.grid.canvas.focus({ preventScroll: true });
  }

  /** Let go of the original's bytes, and of its size. */
  forget() {
    if (this.original) URL.revokeObjectURL(this.original);
    this.original = null;
    this.stage.classList.remove("full");
  }

  show(image) {
    this.image = image;
    this.forget();
    this.drawing.stop();
    this.picture.src = image.preview; // at once; the larger one when it is there
    const large = new Image();
    large.onload = () => this.image === image && !this.original && (this.picture.src = large.src);
    large.src = `/v1/images/${image.id}/rendition`;
    this.picture.alt = image.name;
    const held = this.facts.contains(this.dialog.getRootNode().activeElement); // what has the focus goes, and the keys with it
    this.facts.replaceChildren(...this.about(image));
    if (held) this.stage.focus({ preventScroll: true });
    this.more(image);
  }

  about(image) {
    const fact = (name, value) => (value ? [el("dt", {}, say(`viewer.${name}`)), el("dd", {}, value)] : []);
    const { does } = this.grid;
    const button = (words, onclick, kind = "") => el(`button${kind}`, { type: "button", onclick }, words);
    const place = image.latitude === null ? null : `${image.latitude.toFixed(5)}, ${image.longitude.toFixed(5)}`;
    const looks = !image.class && image.predicted ? `${image.predicted.class}, ${percent(image.predicted.probability)}${image.predicted.fits === false ? ` (${say("viewer.guess")})` : ""}` : null;
    this.note = el("p.small", { role: "status" }); // a toast would lie beneath the dialog
    this.details = el("dl");
    this.alike = el("div.alike", { role: "group", "aria-label": say("viewer.alike") });
    this.past = el("ul.past");
    this.pastTitle = el("h3", { hidden: true }, say("viewer.history"));
    return [
      el("div.row", {}, el("h2.grow", {}, image.name), el("button.plain.close", { type: "button", "aria-label": say("common.close"), onclick: () => this.dialog.close() }, "✕")),
      el(
        "div.row",
        {},
        does.similar ? button(say("grid.find_similar"), () => (this.dialog.close(), does.similar([image])), ".primary") : "",
        button(say("viewer.box"), () => this.drawing.start()),
        button(say("viewer.full"), () => this.full()),
        does.varied ? button(say("map.varied"), () => (this.dialog.close(), does.varied([image]))) : "",
        does.why ? button(say("grid.why"), () => (this.dialog.close(), does.why(image))) : "",
      ),
      this.note,
      el(
        "dl",
        {},
        fact("folder", image.folder),
        fact("size", `${number(image.width)} × ${number(image.height)}, ${megabytes(image.bytes)} ${image.format}`),
        fact("taken", when(image.taken_at)),
        fact("camera", image.camera),
        fact("place", place),
        fact("added", when(image.added_at)),
        fact("class", image.classes?.length ? image.classes.join(", ") : image.class),
        fact("looks_like", looks),
        fact("missing", image.missing ? say("viewer.gone") : null),
      ),
      this.details,
      this.alike,
      this.pastTitle,
      this.past,
      el("a.small", { href: `/v1/images/${image.id}/original`, download: image.name }, say("viewer.save_original")),
    ];
  }

  /** What another request must tell: its path, its history, its neighbours. */
  async more(image) {
    const search = { positive: [image.id], limit: NEAREST };
    const [one, found] = await Promise.all([get(`/v1/images/${image.id}`).catch(() => null), post(of(this.board.collection, "search"), search).catch(() => null)]);
    if (this.image !== image) return;
    if (one?.path) this.details.replaceChildren(el("dt", {}, say("viewer.path")), el("dd", {}, one.path));
    const history = one?.history ?? [];
    this.pastTitle.hidden = !history.length;
    this.past.replaceChildren(...history.map((item) => el("li", {}, this.said(item), " ", el("span.quiet.small", {}, [when(item.at), item.by].filter(Boolean).join(" · ")))));
    const others = (found?.hits ?? []).filter((hit) => hit.image.id !== image.id);
    if (others.length)
      this.alike.replaceChildren(
        el("h3", {}, say("viewer.alike")),
        el("div.row", {}, others.map((hit) => el("button.face", { type: "button", title: `${hit.image.name} · ${hit.score.toFixed(2)}`, "aria-label": hit.image.name, onclick: () => this.show(hit.image) }, el("img", { src: hit.image.preview, alt: "" })))),
      );
  }

  /** One line of the journal of labels. */
  said(item) {
    const name = item.class ?? item.class_name ?? "";
    return say(`viewer.said_${name ? item.answer : item.answer === "none" ? "none" : item.answer}`, { name });
  }

  step(by) {
    if (this.dialog.classList.contains("alone")) return;
    this.grid.move(this.grid.focus + by, false);
    const position = this.grid.focus;
    if (this.grid.items[position]) return this.open(position);
    this.grid.fetch(Math.floor(position / PAGE)).then(() => this.grid.focus === position && this.open(position));
  }

  /** The original at its own size, in a window that scrolls; again: back to the whole picture. */
  async full() {
    const { image } = this;
    if (!this.stage.classList.toggle("full")) return;
    if (!SHOWABLE[image.format]) this.note.textContent = say("viewer.not_full", { format: image.format });
    else if (!this.original) {
      try {
        const bytes = await (await fetch(`/v1/images/${image.id}/original`)).arrayBuffer();
        if (this.image !== image) return;
        this.original = URL.createObjectURL(new Blob([bytes], { type: SHOWABLE[image.format] }));
        this.picture.src = this.original;
      } catch {
        this.note.textContent = say("viewer.no_original");
      }
    }
  }

  async searchBox(box) {
    await this.board.safely(async () => {
      const { query_id } = await post(of(this.board.collection, "queries"), { image_id: this.image.id, box });
      this.dialog.close();
      this.board.similar([query_id]);
    });
  }

  async key(event) {
    event.stopPropagation();
    const { does } = this.grid;
    const key = event.key.toLowerCase();
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") this.step(event.key === "ArrowLeft" ? -1 : 1);
    else if (/^[1-9]$/.test(key)) {
      const { board, image } = this;
      const done = await board.safely(async () => {
        const name = await board.labels.called(key);
        return name ? board.give([image], name) : board.toast.say(say("board.no_such_key", { key }));
      });
      if (!done) Object.assign(image, await get(`/v1/images/${image.id}`).catch(() => ({}))); // its class may be gone
      if (this.image) this.show(this.image);
    } else if (key === "s" && does.similar && !event.ctrlKey) {
      const { image } = this;
      this.dialog.close();
      does.similar([image]);
    } else if (key === "b") this.drawing.start();
    else if (key === "f") this.full();
    else if (event.key === "Escape" && this.drawing.on) this.drawing.stop();
    else return;
    event.preventDefault();
  }
}
