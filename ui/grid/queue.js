// Labelling one picture at a time: a key, the next picture. The key is answered from here; labels go to the API
// behind it, in order, and the queue is asked for again as they change what would teach most.

const AHEAD = 24; // suggestions fetched at a time
const RETHINK = 5; // labels after which the order is asked for again

class Queue {
  constructor(root, data) {
    this.collection = data.collection;
    root.classList.add("queue");
    this.toast = new Toast(root);
    this.labels = new Labels(this.collection, this.toast);
    this.waiting = []; // suggestions to come; the first is on show
    this.seen = new Set(); // answered or skipped in this sitting
    this.past = []; // what Ctrl+Z goes back through: {item, recorded}
    this.sending = Promise.resolve();
    this.sent = 0;

    this.picture = el("img", { alt: "" });
    this.caption = el("p.caption");
    this.coming = el("div.coming", { "aria-hidden": "true" });
    this.message = el("div.message", { hidden: true });
    this.stage = el("div.stage", { tabindex: "0", role: "group", "aria-label": say("label.picture"), "aria-live": "polite" }, this.picture, this.message);
    this.list = el("ul.classlist");
    this.head = el("strong");
    this.rest = el("p.quiet.small");
    const button = (key, text, onclick) => el("button", { type: "button", onclick }, el("kbd", {}, key), ` ${text}`);
    root.append(
      el("div.left", {}, this.stage, this.caption, this.coming),
      el(
        "aside",
        { "aria-label": say("label.classes") },
        el("h2", {}, say("label.what")),
        this.list,
        classForm((name) => this.addClass(name)),
        el(
          "div.row.keys",
          {},
          (this.accept = button("Space", say("label.accept"), () => this.acceptGuess())),
          button("S", say("label.skip"), () => this.skip()),
          button("U", say("label.unsure"), () => this.unsure()),
          button("Ctrl+Z", say("common.undo"), () => this.undo()),
        ),
        el("div.learned", { role: "status" }, this.head, this.rest),
      ),
    );
    this.onkey = (event) => this.key(event);
    document.addEventListener("keydown", this.onkey);
    this.assess = settled(() => this.measure(), 500);
    this.deaf = hear(({ what }) => what === "classes" && this.drawClasses(true));
    this.fit = () => {
      const top = root.getBoundingClientRect().top + (root.getRootNode().host?.closest('[data-testid="stMain"]')?.scrollTop ?? 0);
      root.style.setProperty("--high", `${Math.max(380, window.innerHeight - top - 16)}px`);
    };
    window.addEventListener("resize", this.fit);
    requestAnimationFrame(this.fit);
    setTimeout(this.fit, 400);
  }

  destroy() {
    document.removeEventListener("keydown", this.onkey);
    window.removeEventListener("resize", this.fit);
    this.assess.stop();
    this.deaf();
  }

  update(data) {
    if (this.started) return;
    this.started = true;
    this.drawClasses(true);
    this.refill();
    this.measure();
  }

  async drawClasses(fetchThem = false) {
    try {
      if (fetchThem) await this.labels.refresh();
    } catch (error) {
      return this.toast.fail(error);
    }
    const guess = this.waiting[0]?.image.predicted;
    this.accept.disabled = !guess;
    this.list.replaceChildren(
      ...this.labels.classes.map(({ name, key, colour, labels }) =>
        el(
          "li",
          {},
          el(
            "button",
            { type: "button", "aria-label": say("label.class_labels", { name, n: labels }), onclick: () => this.answer(name) },
            el("kbd", {}, key ?? "·"),
            el("span.dot", { style: `--colour:${colour}` }),
            el("span.grow", {}, name),
            guess?.class === name ? el("span.quiet.small", {}, say("label.looks_like_it", { sure: percent(guess.probability) })) : "",
            el("span.quiet.number", {}, number(labels)),
          ),
        ),
      ),
    );
    if (!this.labels.classes.length) this.list.append(el("li.quiet", {}, say("label.first_class")));
  }

  async refill(keep = 1) {
    if (!this.waiting.length) {
      this.message.hidden = false;
      this.message.replaceChildren(el("p", {}, say("label.choosing")));
    }
    try {
      await this.sending;
      const { items } = await get(of(this.collection, `suggestions?limit=${AHEAD}`));
      const kept = this.waiting.slice(0, keep);
      const known = new Set([...this.seen, ...kept.map(({ image }) => image.id)]);
      this.waiting = [...kept, ...items.filter(({ image }) => !known.has(image.id))];
    } catch (error) {
      this.trouble = error instanceof Sentence ? error.message : null;
      if (this.waiting.length) this.toast.fail(error);
    }
    this.show();
    this.trouble = null;
  }

  show() {
    const item = this.waiting[0];
    this.message.hidden = Boolean(item);
    this.picture.hidden = !item;
    if (!item) {
      this.shown = null;
      this.picture.removeAttribute("src");
      this.message.replaceChildren(el("p", {}, this.trouble ?? say("label.none_waiting")), el("button", { type: "button", onclick: () => (this.seen.clear(), this.refill()) }, say("label.look_again")));
      this.caption.textContent = "";
      this.coming.replaceChildren();
      return;
    }
    const { image, reason } = item;
    if (this.shown !== image.id) {
      this.shown = image.id;
      this.picture.src = image.preview;
      this.large(image);
      this.picture.alt = image.name;
    }
    this.caption.replaceChildren(el("span", {}, image.name), reason ? el("span.quiet", {}, ` · ${reason}`) : "");
    this.coming.replaceChildren(...this.waiting.slice(1, 9).map((next) => el("img", { src: next.image.preview, alt: "" })));
    this.drawClasses();
  }

  large(image) {
    const better = new Image();
    better.onload = () => this.shown === image.id && (this.picture.src = better.src);
    better.src = `/v1/images/${image.id}/rendition`;
  }

  next(record) {
    this.past.push(record);
    this.seen.add(record.item.image.id);
    this.waiting.shift();
    this.show();
    if (this.waiting.length < 6) this.refill();
  }

  /** Record an answer behind the picture that has already gone; a failure brings the picture back. */
  record(item, name, answer) {
    const local = this.labels.classes.find((one) => one.name === name);
    if (local && answer === "yes") local.labels += 1;
    this.next({ item, recorded: true });
    this.sending = this.sending
      .then(() => this.labels.give([item.image], name, answer))
      .then(() => {
        this.sent += 1;
        if (this.sent % RETHINK === 0) this.refill(2);
        this.assess();
      })
      .catch((error) => {
        this.toast.fail(error);
        this.seen.delete(item.image.id);
        this.past = this.past.filter((one) => one.item !== item);
        this.waiting.unshift(item);
        this.show();
      });
  }

  answer(name) {
    const item = this.waiting[0];
    if (item && name) this.record(item, name, "yes");
  }

  acceptGuess() {
    this.answer(this.waiting[0]?.image.predicted?.class);
  }

  unsure() {
    const item = this.waiting[0];
    const name = item?.image.predicted?.class ?? this.labels.classes[0]?.name;
    if (item && name) this.record(item, name, "unsure");
    else this.skip(); // without classes there is nothing to be unsure about
  }

  skip() {
    if (this.waiting[0]) this.next({ item: this.waiting[0], recorded: false });
  }

  async undo() {
    const last = this.past.pop();
    if (!last) return this.toast.say(say("labels.nothing_to_undo"));
    await this.sending;
    try {
      if (last.recorded && !(await this.labels.back("undo"))) return;
    } catch (error) {
      this.past.push(last);
      return this.toast.fail(error);
    }
    this.seen.delete(last.item.image.id);
    this.waiting = [last.item, ...this.waiting.filter((one) => one !== last.item)];
    await this.drawClasses(true);
    this.show();
    this.assess();
  }

  async addClass(name) {
    try {
      await post(of(this.collection, "classes"), { name });
    } catch (error) {
      this.toast.fail(error);
      return false;
    }
    await this.drawClasses(true);
    this.stage.focus({ preventScroll: true });
  }

  async measure() {
    try {
      const { head, rest } = await learned(this.collection);
      this.head.textContent = head;
      this.rest.textContent = rest;
      if (this.waiting[0]) this.drawClasses(true);
    } catch (error) {
      this.head.textContent = "";
      this.rest.textContent = error.message;
    }
  }

  key(event) {
    if (typing(event) || event.altKey || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    const command = event.ctrlKey || event.metaKey;
    if (command && key === "z") this.undo();
    else if (command) return;
    else if (/^[1-9]$/.test(key)) {
      const name = this.labels.withKey(key);
      if (name) this.answer(name);
      else this.toast.say(say("label.no_such_key", { key }));
    } else if (key === " " && !event.composedPath()[0].closest?.("button")) this.acceptGuess();
    else if (key === "s") this.skip();
    else if (key === "u") this.unsure();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

export default (component) => mount(component, Queue);
