// What is searched with: the faces of the pictures to look like and not to look like, and the ways to bring others.

class Strip {
  /** `does`: {without(id), add(files), startOver(), label, menus}. */
  constructor(does) {
    this.does = does;
    this.faces = new Map(); // query id → preview address
    this.file = el("input", { type: "file", accept: "image/*,.heic,.heif,.avif,.tif,.tiff", multiple: true, hidden: true, "aria-label": say("search.file"), onchange: () => this.given() });
    this.root = el("div.strip", { role: "group", "aria-label": say("search.with") });
  }

  given() {
    if (this.file.files.length) this.does.add([...this.file.files], this.adding);
    this.file.value = "";
  }

  choose(adding) {
    this.adding = adding;
    this.file.click();
  }

  face(id, sign) {
    const own = typeof id === "number";
    return el(
      `span.face.${sign}`,
      { title: say(sign === "yes" ? "search.like_this" : "search.not_like_this") },
      el("img", { src: this.faces.get(id) ?? (own ? `/v1/images/${id}/preview` : `/v1/queries/${id}/preview`), alt: own ? say("search.picture", { id: String(id) }) : say("search.your_picture") }),
      el("button", { type: "button", "aria-label": say("search.take_out"), onclick: () => this.does.without(id) }, "✕"),
    );
  }

  draw(positive, negative) {
    const searching = positive.length > 0;
    this.root.classList.toggle("empty", !searching);
    const button = (words, onclick) => el("button", { type: "button", onclick }, words);
    this.root.replaceChildren(
      ...(searching
        ? [
            el("span.label", {}, say("search.like")),
            ...positive.map((id) => this.face(id, "yes")),
            ...(negative.length ? [el("span.label", {}, say("search.not_like")), ...negative.map((id) => this.face(id, "no"))] : []),
            el("span.grow"),
            this.does.label,
            button(say("search.add"), () => this.choose(true)),
            button(say("search.new"), () => this.does.startOver()),
          ]
        : [el("strong", {}, say("search.drop_here")), button(say("search.choose"), () => this.choose(false)), el("span.quiet", {}, say("search.or_click"))]),
      ...this.does.menus,
      this.file,
    );
  }
}
