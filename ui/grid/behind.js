// The pictures behind a cell of the confusion: looked at, and labelled anew where a label was wrong.

class Behind extends Board {
  constructor(root, data, does) {
    super(root, data);
    this.cell = data.cell;
    this.does = does;
    const names = { labelled: classWords(this.cell.actual), predicted: classWords(this.cell.predicted) };
    root.setAttribute("aria-label", say("report.behind", names));
    this.bar.replaceChildren(el("strong", {}, say("report.behind", names)), this.status, el("span.grow"), this.sizeSlider(), this.helpButton(), el("button", { type: "button", onclick: () => does.close() }, say("common.close")));
    this.refreshClasses();
    this.reload().then(() => this.grid.canvas.focus());
  }

  async page(offset, limit, signal) {
    const list = await get(of(this.collection, `probe/confusion?${inUrl({ ...this.cell, offset, limit })}`), signal);
    return { ...list, items: list.items.map((image) => ({ image })) };
  }

  countText() {
    return pictureCount(this.grid.total);
  }

  emptyText() {
    return say("report.none_behind");
  }

  similar(ids) {
    this.does.similar(ids);
  }

  narrow() {}
}
