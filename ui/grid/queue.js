// Labelling one picture at a time: a key, the next picture. What would teach most is asked for again behind the hand, as
// the labels change it, and what comes next is fetched before it is shown.

const AHEAD = 24; // suggestions fetched at a time
const KEPT = 3; // of them that a new list does not replace: the one on show, and those that are ready behind it
const RETHINK = 1000; // ms between two times that the order is asked for
const KINDS = ["unsure", "typical", "novel", "rare", "audit", "mislabelled"];

class Queue extends Toggling {
  constructor(root, data) {
    super(root, data);
    root.classList.add("queue");
    this.waiting = []; // suggestions to come; the first is on show
    this.seen = new Set(); // answered or skipped in this sitting
    this.ahead = new Ahead((id, picture) => this.shown === id && this.hang(picture));
    this.frame = el("div.frame");
    this.message = el("div.message", { hidden: true });
    this.stage.setAttribute("aria-label", say("label.picture"));
    this.stage.append(this.frame, this.message);
    this.caption = el("p.caption", { role: "status" });
    this.coming = el("div.coming", { "aria-hidden": "true" });
    this.kind = el("select.small", { "aria-label": say("label.asks_for"), onchange: () => this.ask() }, el("option", { value: "" }, say("label.kind_mixed")), KINDS.map((kind) => el("option", { value: kind }, say(`label.kind_${kind}`))));
    this.keyButtons.append(el("button", { type: "button", onclick: () => this.why() }, el("kbd", {}, "W"), ` ${say("label.why")}`));
    root.append(el("div.left", {}, this.stage, this.caption, this.coming), this.aside);
    this.aside.append(el("label.row.small", {}, el("span.quiet", {}, say("label.asks_for")), this.kind));
    this.rethink = settled(() => this.refill(), RETHINK / 4);
    this.heat = new WhyClass(this.frame);
  }

  destroy() {
    this.rethink.stop();
    this.heat.destroy();
    super.destroy();
  }

  update(data) {
    if (this.started) return;
    this.started = true;
    this.kind.value = KINDS.includes(data.kind) ? data.kind : "";
    this.refill();
  }

  /** Another kind of pictures from now on. */
  ask() {
    this.waiting = [];
    this.seen.clear();
    this.shown = null;
    this.refill();
    this.stage.focus({ preventScroll: true });
  }

  // --- what comes next

  /** Ask what would teach most; at most one question at a time, and none twice within RETHINK. */
  async refill() {
    if (this.filling) return void (this.unanswered = true);
    this.filling = true;
    try {
      do await this.refillOnce();
      while (this.unanswered && !this.gone);
    } finally {
      this.filling = false;
    }
  }

  async refillOnce() {
    this.unanswered = false;
    const kind = this.kind.value;
    if (!this.waiting.length) this.explain(say("label.choosing"));
    try {
      if (!this.known) await this.begin();
      const { items } = await get(of(this.collection, `suggestions?${inUrl({ limit: AHEAD, kind })}`));
      if (this.gone) return;
      if (kind === this.kind.value) await this.take(items);
      else this.unanswered = true;
    } catch (error) {
      if (!(error instanceof Sentence)) throw error;
      if (!this.waiting.length) this.explain(error.message, error.status === 0 || error.status === 503);
    }
    await sleep(RETHINK);
  }

  /** A picture is shown once its keys mean something; where there is no class yet, letters name the first. */
  async begin() {
    await this.refreshClasses();
    if (this.known && !this.labels.classes.length && document.activeElement === document.body) this.naming.focus();
  }

  async take(items) {
    const fresh = new Map(items.map((item) => [item.image.id, item]));
    const stale = this.waiting.slice(0, KEPT).filter(({ image }) => !fresh.has(image.id));
    const asked = await Promise.all(stale.map(({ image }) => get(`/v1/images/${image.id}`).catch(() => null)));
    stale.forEach((item, place) => asked[place] && fresh.set(item.image.id, { image: asked[place] }));
    const back = new Set(this.future.map(({ subject }) => subject)); // undone: to be done again in their order
    const kept = this.waiting.filter((item, place) => place < KEPT || back.has(item));
    for (const [place, item] of kept.entries()) {
      const now = fresh.get(item.image.id);
      // Under the eye a guess stays what it was: a hand may be on its way to accept it.
      if (now && (place || !item.image.predicted)) item.image.predicted = now.image.predicted;
    }
    const known = new Set([...this.seen, ...kept.map(({ image }) => image.id)]);
    this.waiting = [...kept, ...items.filter(({ image }) => !known.has(image.id))];
    this.show(true);
  }

  /** Say in place of a picture why there is none; `again`: it may be there by itself in a moment. */
  explain(sentence, again = false) {
    clearTimeout(this.later);
    this.message.hidden = false;
    this.message.replaceChildren(el("p", { role: "alert" }, sentence));
    if (sentence !== say("label.choosing")) this.message.append(el("button", { type: "button", onclick: () => this.ask() }, say("label.look_again")));
    if (again) this.later = setTimeout(() => !this.waiting.length && !this.gone && this.refill(), 3000);
    this.frame.replaceChildren();
    this.shown = null;
    this.caption.textContent = "";
    this.coming.replaceChildren();
    this.drawClasses();
  }

  show(whole = !this.filling) {
    const item = this.waiting[0];
    if (!item) return this.explain(say(whole ? "label.none_waiting" : "label.choosing"));
    const { image } = item;
    const reason = sentenceFor(item.reason, item.reason_said);
    this.message.hidden = true;
    this.ahead.want(this.waiting.map((next) => next.image));
    if (this.shown !== image.id) {
      this.shown = image.id;
      this.heat.clear();
      this.hang(this.ahead.of(image));
    }
    const said = (image.classes?.join(", ") || image.class) ?? { none_of_these: say("grid.none_of_these"), unsure: say("grid.unsure") }[image.answer];
    const looks = image.predicted && say("grid.looks_like", { name: classWords(image.predicted.class), sure: percent(image.predicted.probability) });
    const about = [reason, looks, said && say("label.labelled_so", { name: said })].filter(Boolean);
    this.caption.replaceChildren(el("span", {}, image.name), ...about.map((words) => el("span.quiet", {}, ` · ${words}`)));
    this.coming.replaceChildren(...this.waiting.slice(1, 9).map((next) => el("img", { src: next.image.preview, alt: "" })));
    this.drawClasses();
  }

  hang(picture) {
    picture.alt = this.waiting[0]?.image.name ?? "";
    this.frame.replaceChildren(picture, this.heat.canvas);
    this.heat.fit();
  }

  // --- what an answer is about

  pictures() {
    return this.waiting.slice(0, 1).map(({ image }) => image);
  }

  subject() {
    return this.waiting[0];
  }

  guess() {
    return this.waiting[0]?.image.predicted ?? null;
  }

  /** Those that a new list does not replace. */
  held() {
    return this.waiting.slice(0, KEPT).map(({ image }) => image);
  }

  redraw() {
    this.show();
    this.rethink();
  }

  leave({ subject: item, stays }) {
    if (stays) return this.show();
    this.seen.add(item.image.id);
    this.waiting = this.waiting.filter(({ image }) => image.id !== item.image.id);
    this.show();
    if (this.waiting.length < AHEAD / 3) this.refill();
  }

  comeBack({ subject: item }) {
    this.seen.delete(item.image.id);
    this.waiting = [item, ...this.waiting.filter(({ image }) => image.id !== item.image.id)];
    this.show();
  }

  answered() {
    this.rethink();
  }

  // --- why it looks so

  async why() {
    const [image] = this.pictures();
    if (!image || this.heat.on) return this.heat.clear();
    try {
      const name = image.class ?? image.predicted?.class ?? "";
      const said = await get(of(this.collection, `why?${inUrl({ image: image.id, class: name || this.labels.classes[0]?.name || "?" })}`));
      if (this.shown !== image.id) return;
      this.heat.draw(said.image);
      this.toast.say(sentenceFor(said.sentence, said.said));
    } catch (error) {
      this.toast.fail(error);
    }
  }

  keys() {
    return [...super.keys().slice(0, -1), ["W", say("label.key_why")], ...super.keys().slice(-1)];
  }

  pressed(event) {
    if (event.key.toLowerCase() === "w" && !event.ctrlKey && !event.metaKey) this.why();
    else return super.pressed(event);
  }
}

/** What speaks for a class, painted over the picture where it lies in its frame. */
class WhyClass {
  constructor(frame) {
    this.frame = frame;
    this.canvas = "";
    this.watch = new ResizeObserver(() => this.fit());
    this.watch.observe(frame);
  }

  get on() {
    return this.canvas !== "";
  }

  destroy() {
    this.watch.disconnect();
  }

  clear() {
    if (this.on) this.canvas.remove();
    this.canvas = "";
  }

  draw(cells) {
    this.clear();
    this.canvas = el("div.over", { "aria-hidden": "true" }, heat(cells));
    this.frame.append(this.canvas);
    this.fit();
  }

  /** The picture is as large as its frame lets it be, in the middle of it. */
  fit() {
    const picture = this.frame.querySelector("img");
    if (!this.on || !picture) return;
    if (!picture.naturalWidth) return void picture.decode().then(() => this.fit(), () => {}); // it is on its way
    const { clientWidth, clientHeight } = this.frame;
    const scale = Math.min(clientWidth / picture.naturalWidth, clientHeight / picture.naturalHeight);
    const [width, height] = [picture.naturalWidth * scale, picture.naturalHeight * scale];
    this.canvas.style.cssText = `left:${(clientWidth - width) / 2}px;top:${(clientHeight - height) / 2}px;width:${width}px;height:${height}px`;
  }
}

export default (component) => mount(component, Queue);
