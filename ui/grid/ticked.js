// ✓ and ✗ of a search as labels: the pictures searched with are of a class, those not to look like are not. One action,
// which one undo takes back.

class Ticked {
  /** `board` is a search: {positive, negative, labels, collection, safely(), labelled(), reload(), refreshClasses()}. */
  constructor(board) {
    this.board = board;
    this.classes = el("span.row.classes"); // above a form that may be half filled in when they come
    this.menu = new Menu(say("search.label"), () => this.panel());
  }

  /** Of what was ticked the pictures of the collection; your own are not in it. */
  get yes() {
    return this.board.positive.filter((id) => typeof id === "number");
  }

  get no() {
    return this.board.negative.filter((id) => typeof id === "number");
  }

  panel() {
    this.drawClasses();
    return [
      el("p.small", {}, say("search.label_about", { yes: this.yes.length, no: this.no.length })),
      this.classes,
      classForm((name) => this.give(name)),
    ];
  }

  drawClasses() {
    const chip = ({ name, colour }) => el("button.chip", { type: "button", onclick: () => this.give(name) }, el("span.dot", { style: `--colour:${colour}` }), name);
    onceLetGo(this.classes, () => drawAnew(this.classes, this.board.labels.classes.map(chip)));
  }

  give(name) {
    return this.board.safely(() => this.label(name));
  }

  async label(name) {
    const { board, yes, no } = this;
    this.menu.close();
    if (!yes.length) return board.toast.say(say("search.label_none"));
    const { changed, class: called } = await save(of(board.collection, "labels"), { image_ids: yes, not_image_ids: no, ...board.labels.named(name) });
    tellOthers("labels", board.collection);
    tellOthers("classes", board.collection);
    await board.refreshClasses();
    board.labelled(changed, name, "yes", called);
    await board.reload({ keepPlace: true });
  }
}
