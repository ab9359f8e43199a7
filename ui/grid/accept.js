// Taking the classifier's word above a line: how many that would be and how many of them wrong, with the least sure on
// show; all are labelled as one action, which one undo takes back.

const FACES = 24; // of the least sure on show
const USUAL_LINE = 90; // per cent

class Accepting {
  /** `board` shows predictions; `narrowed()` is the class it is narrowed to, or "". */
  constructor(board, narrowed) {
    this.board = board;
    this.narrowed = narrowed;
    this.button = el("button", { type: "button", onclick: () => this.open() }, say("accept.open"));
    this.look = settled(() => this.ask(), 200);
  }

  get line() {
    return Number(this.slider.value) / 100;
  }

  /** `trouble`: why it is open again. */
  open(line = USUAL_LINE, trouble = "") {
    const output = el("output", {});
    this.slider = el("input", { type: "range", min: "0", max: "100", step: "1", value: String(line), "aria-label": say("accept.line"), oninput: () => ((output.value = say("gallery.at_least", { sure: percent(this.line) })), this.look()) });
    output.value = say("gallery.at_least", { sure: percent(this.line) });
    this.count = el("p", { role: "status" });
    this.faces = el("div.faces");
    this.yes = el("button.primary", { value: "yes", disabled: true });
    const name = this.narrowed();
    const title = name ? say("accept.title_class", { name: classWords(name) }) : say("accept.title");
    this.dialog = el(
      "dialog.ask.accepting",
      { "aria-label": title, onclose: () => this.closed() },
      el("h2", {}, title),
      el("label.row", {}, this.slider, output),
      trouble && el("p.bad", { role: "alert" }, trouble),
      this.count,
      this.faces,
      el("form.row", { method: "dialog" }, el("button", { value: "no" }, say("common.cancel")), this.yes),
    );
    keepKeys(this.dialog);
    this.board.root.append(this.dialog);
    this.dialog.showModal();
    this.slider.focus();
    this.ask();
  }

  body() {
    const predicted = this.narrowed();
    return { as_predicted: true, source: "bulk", filter: { labelled: false, min_probability: this.line, ...(predicted ? { predicted } : {}) } };
  }

  /** See what the line as it is now would do. */
  async ask() {
    this.asked?.abort();
    const { signal } = (this.asked = new AbortController());
    this.yes.disabled = true;
    try {
      const seen = await post(of(this.board.collection, "labels"), { ...this.body(), preview: true }, signal);
      this.seen = seen.seen;
      this.count.replaceChildren(say("accept.would", { n: seen.changed, wrong: Math.round(seen.expected_wrong) }), seen.preview.length ? el("span.quiet", {}, ` ${say("accept.least_sure")}`) : "");
      this.faces.replaceChildren(...seen.preview.slice(0, FACES).map((image) => this.face(image)));
      this.yes.textContent = say("accept.do", { n: seen.changed });
      this.yes.disabled = !seen.changed;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.faces.replaceChildren();
      this.count.replaceChildren(el("span.bad", {}, error.message));
    }
  }

  face({ name, preview, predicted }) {
    const said = say("grid.looks_like", { name: predicted.class, sure: percent(predicted.probability) });
    return el("figure", {}, el("img", { src: preview, alt: name, title: `${name}, ${said}` }), el("figcaption.small", {}, `${percent(predicted.probability)} ${predicted.class}`));
  }

  async closed() {
    this.look.stop();
    this.asked?.abort();
    this.dialog.remove();
    const { board } = this;
    if (this.dialog.returnValue !== "yes") return board.grid.canvas.focus();
    await board.safely(async () => {
      let changed;
      try {
        ({ changed } = await save(of(board.collection, "labels"), { ...this.body(), seen: this.seen }));
      } catch (error) {
        if (error.kind === "NotAsSeen") return this.open(this.slider.value, error.message);
        throw error;
      }
      tellOthers("labels", board.collection);
      board.toast.say(say("accept.done", { n: changed }), { action: () => board.grid.does.undo() });
      board.grid.canvas.focus({ preventScroll: true });
      await board.reload({ keepPlace: true });
    });
  }
}
