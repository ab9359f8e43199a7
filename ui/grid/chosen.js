// What a selection can do: search with it, label it, take it away, remove it. Many pictures at once are previewed first.

const MANY = 25; // pictures; labelling more than these at once is asked about first
const SHOWN = 12; // pictures of a preview

class Chosen {
  constructor(board) {
    this.board = board;
    this.bar = el("div.chosen", { role: "toolbar", "aria-label": say("chosen.title"), hidden: true });
    this.exports = new Menu(say("chosen.export"), () => [
      el("button", { type: "button", onclick: () => this.export("csv") }, say("chosen.csv")),
      el("button", { type: "button", onclick: () => this.export("json") }, say("chosen.json")),
    ]);
  }

  get selection() {
    return this.board.grid.selection;
  }

  draw() {
    const { board, selection } = this;
    this.bar.hidden = selection.size === 0;
    const state = `${selection.size}|${Boolean(selection.everything)}|${board.labels.classes.map((c) => c.name + c.key + c.colour).join("|")}`;
    if (this.bar.hidden || this.state === state) return;
    this.state = state;
    const button = (text, onclick, kind = "") => el(`button${kind}`, { type: "button", onclick }, text);
    const label = (name, answer) => board.safely(() => this.label(name, answer));
    this.bar.replaceChildren(
      el("strong", { role: "status" }, say(selection.everything ? "chosen.all_that_match" : "chosen.selected", { n: selection.size })),
      button(selection.size === 1 ? say("grid.find_similar") : say("chosen.find_similar_to", { n: Math.min(selection.size, QUERY) }), () => board.grid.does.similar(board.grid.chosen()), ".primary"),
      el(
        "span.row.classes",
        { role: "group", "aria-label": say("chosen.label_as") },
        el("span.quiet", {}, say("chosen.label_as")),
        board.labels.classes.map(({ name, key, colour }) => el("button.chip", { type: "button", onclick: () => label(name) }, el("span.dot", { style: `--colour:${colour}` }), name, key ? el("kbd", {}, key) : "")),
        classForm((name) => board.safely(() => this.label(name))),
      ),
      el("span.grow"),
      this.exports.root,
      button(say("chosen.remove"), () => board.grid.does.remove(), ".danger"),
      button(say("chosen.clear"), () => board.grid.clear()),
    );
  }

  /** The selection, or the picture in focus where nothing is selected, as a request says it. */
  body() {
    return this.selection.size ? this.selection.body() : { image_ids: this.board.grid.chosen().map(({ id }) => id) };
  }

  /** What a key means at this moment: `images`, or all that `body` says where these are too many to see. */
  meant() {
    const { selection } = this;
    const images = this.board.grid.chosen();
    const many = selection.everything || selection.size > MANY || images.length < selection.size;
    return many ? { body: this.body() } : { images };
  }

  async label(name, answer = "yes", { images, body } = this.meant()) {
    const { board } = this;
    if (body) {
      const source = { ...body, ...board.labels.named(name, answer), answer, source: "bulk" };
      const seen = await post(of(board.collection, "labels"), { ...source, preview: true });
      if (!seen.changed) return board.toast.say(say("chosen.nothing_changes"));
      const question = say(answer === "none" ? "chosen.ask_unlabel" : "chosen.ask_label", { n: seen.changed, name });
      if (!(await ask(board.root, question, say("chosen.do_label"), { pictures: seen.preview.slice(0, SHOWN), more: seen.changed - SHOWN, harmless: true }))) return;
      const { changed, class: called } = await save(of(board.collection, "labels"), source);
      tellOthers("labels", board.collection);
      board.labelled(changed, name, answer, called);
      return board.reload({ keepPlace: true });
    }
    await board.give(images, name, answer);
  }

  async remove() {
    const { board, selection } = this;
    const images = board.grid.chosen();
    const n = selection.size || images.length;
    if (!n) return;
    const which = n === 1 ? say("chosen.ask_remove_one", { name: images[0].name, collection: board.collection }) : say("chosen.ask_remove", { n, collection: board.collection });
    if (!(await ask(board.root, which, say("chosen.do_remove"), { pictures: images.slice(0, SHOWN), more: n - SHOWN }))) return;
    const { removed } = await save(of(board.collection, "images/remove"), this.body());
    selection.clear();
    board.toast.say(say("chosen.removed", { n: removed }));
    tellOthers("images", board.collection);
    await board.reload({ keepPlace: true });
  }

  async export(format) {
    this.exports.close();
    await this.board.safely(async () => {
      const n = await exportSelection(this.board.collection, this.selection, format, (done, total) => this.board.toast.say(say("chosen.exporting", { done, total })));
      this.board.toast.say(say("chosen.exported", { n }));
    });
  }
}
