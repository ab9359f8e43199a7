// Classes and labels from the browser: fetched, given, taken back.

class Labels {
  constructor(collection, toast) {
    this.collection = collection;
    this.toast = toast;
    this.classes = [];
    this.asked = this.newest = 0; // questions for them, and the one whose answer is here
  }

  /** Fetch them; one that was named here and whose first label the API may not have had when it was asked stays. */
  async refresh() {
    const said = new Set(this.classes.filter((one) => one.fresh && !this.isOnItsWay(one)));
    const turn = (this.asked += 1);
    const { items } = await get(of(this.collection, "classes"));
    if (turn < this.newest) return; // a later question was answered first
    this.newest = turn;
    const named = this.classes.filter((one) => one.fresh && !said.has(one) && !items.some(({ name }) => name === one.name));
    this.classes = [...items, ...named];
    this.known = true;
  }

  isOnItsWay({ name }) {
    return outbox().waiting.some(({ collection, body }) => collection === this.collection && body?.class === name);
  }

  colours() {
    return new Map(this.classes.map(({ name, colour }) => [name, colour]));
  }

  withKey(key) {
    return this.classes.find((one) => one.key === key)?.name;
  }

  /** The same, once the classes are here. */
  async called(key) {
    if (!this.known) await this.refresh();
    return this.withKey(key);
  }

  /**
   * A class as a request names it: one that the API has said is `known`, and then meant whatever it is called by now; so
   * is one that a picture has, whose answer is taken away.
   */
  named(name, answer = "yes") {
    const known = answer === "none" || this.classes.some((one) => one.name === name && !one.fresh);
    return known ? { class: name, known } : { class: name };
  }

  /** Give pictures a class (or take it away with "none"); the images here change at once, as the server's will have. */
  async give(images, name, answer = "yes") {
    if (!images.length) return null;
    const ids = images.map((image) => image.id);
    const said = await save(of(this.collection, "labels"), { image_ids: ids, ...this.named(name, answer), answer });
    for (const image of images) {
      if (image.classes && name) this.giveOneOfSeveral(image, said.class ?? name, answer);
      else {
        image.answer = answer === "none" ? null : answer;
        image.class = answer === "yes" ? (said.class ?? name) : null;
        if (image.classes) image.classes = [];
      }
    }
    if (!this.classes.some((one) => one.name === name)) tellOthers("classes", this.collection);
    tellOthers("labels", this.collection);
    return said;
  }

  /** Where pictures may have several classes, an answer about one leaves the others. */
  giveOneOfSeveral(image, name, answer) {
    const others = image.classes.filter((one) => one !== name);
    image.classes = answer === "yes" ? [...others, name].sort() : others;
    image.class = image.classes.at(-1) ?? null;
    image.answer = image.class ? "yes" : answer === "none" ? null : answer;
  }

  /** Undo or redo the last action; true when there was one. */
  async back(which = "undo") {
    const said = await save(of(this.collection, `labels/${which}`), {}, "POST", { twice: false });
    if (said.undone === null && !said.changed) {
      this.toast.say(say(which === "undo" ? "labels.nothing_to_undo" : "labels.nothing_to_redo"));
      return false;
    }
    tellOthers("labels", this.collection);
    if (said.of === "classes") tellOthers("classes", this.collection);
    this.toast.say(stepSaid(which, said.action));
    return true;
  }
}

/** Somebody else changed the name of a class, or merged it, while a label was given: what was said of it goes by the other name. */
function renamed(states, from, to) {
  for (const state of states) {
    if (state.class === from) state.class = to;
    if (!(from in (state.answers ?? {}))) continue;
    const { [from]: said, ...others } = state.answers;
    state.answers = { ...others, [to]: said };
    state.classes = [...new Set(state.classes.map((name) => (name === from ? to : name)))].sort();
  }
}

const calledNow = (from, to) => say("labels.called_now", { from, to });

/** What was undone or done again, by what the API says of the action. */
function stepSaid(which, { kind, class: name, to, answer, images: n }) {
  const about = answer === "unsure" && name ? "unsure_of" : (answer ?? kind);
  return say(which === "undo" ? "labels.undone" : "labels.redone", { what: say(`labels.step_${about}`, { name, to, n }) });
}

/** A form of one line that makes a class; Enter makes it. */
function classForm(make) {
  const input = el("input", { type: "text", placeholder: say("labels.new_class"), "aria-label": say("labels.name_of_new"), maxlength: "60", size: "12" });
  return el(
    "form.row.newclass",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        const name = input.value.trim();
        if (name && (await make(name)) !== false) input.value = "";
      },
    },
    input,
    el("button", {}, say("labels.add")),
  );
}
