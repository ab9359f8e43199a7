// What the labels teach so far: accuracy with its interval or what is still missing, followed as cross-validation follows
// the labels, without keeping one of the API's threads waiting.

const FOLLOW = 700; // ms between two looks while cross-validation is under way
const WORTH_SAYING = 0.005; // accuracy that a random split would have added
const NONE_OF_THESE = "none of these"; // what the classifier calls it; people are shown their own language's words

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const classWords = (name) => (name === NONE_OF_THESE ? say("grid.none_of_these") : name);
const points = (share) => (100 * share).toLocaleString(language, { maximumFractionDigits: 1 });

/** The classifier's figures and a sentence about them. 409 is not a fault: the API's sentence says what to do. */
async function learned(collection, signal) {
  try {
    const probe = await get(of(collection, "probe?wait=false"), signal);
    return { probe, ...inWords(probe) };
  } catch (error) {
    if (error.status === 409) return { probe: null, head: say("label.too_few"), rest: capital(error.message.replace(/^not enough labels yet[:.,;]?\s*/i, "")) };
    throw error;
  }
}

function inWords({ accuracy, interval, labels, judged, note: words, note_said: said, settled, ...about }) {
  const note = [sentenceFor(words, said), about.calibrated === false ? say("label.cautious") : null].filter(Boolean).join(" ");
  if (accuracy === null && !settled) return { head: null, rest: say("label.following", { n: labels }) };
  if (accuracy === null) return { head: say("label.accuracy_unknown"), rest: note || say("label.label_more") };
  const [low, high] = interval ?? [0, 1];
  const measured = say(interval ? "label.measured_between" : "label.measured", { low: percent(low), high: percent(high), n: judged ?? labels });
  const rest = [measured, lackingInWords(about), pretendedInWords(accuracy, about), note].filter(Boolean).join(" ");
  return { head: say("label.right", { share: percent(accuracy) }), rest };
}

/** Of which classes there are too few labels to judge them. Null where there are none. */
function lackingInWords({ per_class: perClass }) {
  const names = (perClass ?? []).filter(({ note }) => note).map((one) => classWords(one.class));
  return names.length ? say("label.lacking", { names: names.join(", ") }) : null;
}

/** What a split at random would have said, where pictures that show the same thing were kept together. */
function pretendedInWords(accuracy, { kept_together: together, pretended }) {
  return together && pretended - accuracy >= WORTH_SAYING ? say("label.pretended", { share: percent(pretended) }) : null;
}

/** "Ten more labels are worth about 1.2 points." Null while nobody can say. */
function worthInWords(probe) {
  if (!probe?.curve) return null;
  const { more, worth, interval } = probe.curve;
  return say("label.worth", { more, worth: points(worth), low: points(interval[0]), high: points(interval[1]) });
}

/** Follow the figures: `show({probe, head, rest})` for every change, until they are settled; `failed(error)` when not to be had. */
class Following {
  constructor(collection, show, failed) {
    Object.assign(this, { collection, show, failed });
    this.soon = settled(() => this.look(), 250);
    this.deaf = hear(({ what, collection: of_ }) => what === "labels" && of_ === this.collection && this.soon());
    this.look();
  }

  stop() {
    this.deaf();
    this.soon.stop();
    clearTimeout(this.timer);
    this.asked?.abort();
  }

  async look() {
    clearTimeout(this.timer);
    this.asked?.abort();
    const { signal } = (this.asked = new AbortController());
    try {
      const said = await learned(this.collection, signal);
      if (signal.aborted) return;
      this.show(said);
      if (said.probe && !said.probe.settled) this.timer = setTimeout(() => this.look(), FOLLOW);
    } catch (error) {
      if (error.name === "AbortError") return;
      this.failed(error);
      this.timer = setTimeout(() => this.look(), 5 * FOLLOW);
    }
  }
}

/** The figures beside the queue. While new ones follow, those of a moment ago stay, and it says so. */
class Learned {
  constructor(collection) {
    this.head = el("strong");
    this.rest = el("p.quiet.small");
    this.worth = el("p.quiet.small");
    this.root = el("div.learned", { role: "status" }, this.head, this.rest, this.worth);
    this.following = new Following(
      collection,
      ({ probe, head, rest }) => {
        const follows = head === null;
        this.root.classList.toggle("follows", follows);
        if (!follows) this.head.textContent = head;
        this.rest.textContent = rest;
        if (!follows) this.worth.textContent = worthInWords(probe) ?? "";
      },
      (error) => {
        this.rest.textContent = error.message;
      },
    );
  }

  stop() {
    this.following.stop();
  }
}
