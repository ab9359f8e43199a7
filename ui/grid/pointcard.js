// What a point stands for, beside the pointer: its picture, its name, and what it is said to be.

const REMEMBERED = 400; // pictures whose names are kept
const PAUSE = 60; // ms over a point before its name is asked for

class PointCard {
  /** `lines(row)` are what the map itself knows of a row. */
  constructor(host, lines) {
    this.host = host;
    this.lines = lines;
    this.picture = el("img", { alt: "" });
    this.name = el("strong");
    this.about = el("span.small");
    this.root = el("div.pointcard", { hidden: true }, this.picture, this.name, this.about);
    host.append(this.root);
    this.names = new Map(); // id → file name
    this.ask = settled((id) => this.call(id), PAUSE);
  }

  show(id, row, x, y, { aloud = false } = {}) {
    this.root.setAttribute("aria-live", aloud ? "polite" : "off"); // to who moves with the keyboard, it is read out
    if (this.id !== id) {
      this.id = id;
      this.picture.src = `/v1/images/${id}/preview`;
      this.name.textContent = this.names.get(id) ?? "";
      this.about.replaceChildren(...this.lines(row).map((line) => el("span", {}, line)));
      if (!this.names.has(id)) this.ask(id);
    }
    this.root.hidden = false;
    const { clientWidth, clientHeight } = this.host;
    const { offsetWidth, offsetHeight } = this.root;
    this.root.style.left = `${x + 18 + offsetWidth < clientWidth ? x + 18 : Math.max(4, x - offsetWidth - 18)}px`;
    this.root.style.top = `${Math.max(4, Math.min(y - 24, clientHeight - offsetHeight - 4))}px`;
  }

  async call(id) {
    if (this.id !== id) return;
    const image = await get(`/v1/images/${id}`).catch(() => null); // without its name the card still shows the picture
    if (!image) return;
    this.names.set(id, image.folder ? `${image.folder}/${image.name}` : image.name);
    for (const old of this.names.keys()) if (this.names.size > REMEMBERED) this.names.delete(old);
    if (this.id === id) this.name.textContent = this.names.get(id);
  }

  hide() {
    this.ask.stop();
    this.id = null;
    this.root.hidden = true;
  }
}
