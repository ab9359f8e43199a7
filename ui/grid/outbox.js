// Labels on their way to the API: given at once, called saved only when the API has answered, and kept in this browser
// until then, in their order. One outbox for the window, whichever component made it; what a closed window, or one whose
// server went away, has left is sent by the next page that opens.

const OUTBOX = "likeness.outbox."; // in the browser's storage, one key a window
const SOONEST = 500; // ms until a write that failed is tried again, at first
const LATEST = 8000; // and at last
const LEFT = 30_000; // ms after which a window that has not touched what it keeps is gone

/** Whether trying again may help: nobody answered, or not now. All else the API has refused for good; a 500 is a fault of it. */
const passes = ({ status }, tries) => status === 0 || (status === 500 ? tries < 3 : status > 500) || [401, 408, 429].includes(status);

class Outbox {
  constructor() {
    this.key = OUTBOX + (this.read(sessionStorage, OUTBOX) ?? crypto.getRandomValues(new Uint32Array(2)).join(""));
    this.write(sessionStorage, OUTBOX, this.key.slice(OUTBOX.length));
    this.waiting = this.left(this.keys()); // {id, collection, path, method, body, check, turns, tried}, the oldest first
    this.after = new Map(); // operation → what to do when it is saved or refused
    this.trouble = null; // why the oldest is still here, in a sentence
    window.addEventListener("online", () => this.wake?.());
    window.addEventListener("pagehide", () => this.keep(0)); // the next page need not wait to see whether this one is gone
    window.addEventListener("pageshow", () => this.keep());
    setInterval(() => this.adopt(), LEFT);
    if (this.waiting.length) this.send();
  }

  /** Take over what a window has left that was closed meanwhile. */
  adopt() {
    this.waiting.push(...this.left(this.keys().filter((key) => key !== this.key)));
    if (this.waiting.length) this.keep();
    this.send();
  }

  /** What this window kept before it was loaded again, and what windows that are gone have left. */
  left(keys) {
    const found = [];
    for (const key of keys) {
      const kept = this.parsed(this.read(localStorage, key));
      if (!Array.isArray(kept?.waiting) || (key !== this.key && Date.now() - kept.at < LEFT)) continue;
      found.push(...kept.waiting.map((one) => ({ ...one, tried: true }))); // nobody knows whether it arrived
      if (key !== this.key) this.write(localStorage, key, null);
    }
    return found;
  }

  keys() {
    try {
      return Object.keys(localStorage).filter((key) => key.startsWith(OUTBOX));
    } catch {
      return [];
    }
  }

  parsed(text) {
    try {
      return JSON.parse(text);
    } catch {
      return null; // not ours
    }
  }

  read(storage, key) {
    try {
      return storage.getItem(key);
    } catch {
      return null; // a browser that keeps nothing: the window's memory has to do
    }
  }

  write(storage, key, value) {
    try {
      if (value === null) storage.removeItem(key);
      else storage.setItem(key, value);
    } catch {
      // as above
    }
  }

  keep(at = Date.now()) {
    this.write(localStorage, this.key, this.waiting.length ? JSON.stringify({ at, waiting: this.waiting }) : null);
    tell("outbox", { waiting: this.waiting.length, trouble: this.trouble });
  }

  /**
   * Send `body` to a collection's `path` once all before it is saved. `check` says how a picture is labelled once this
   * has been done, `{image, class, answer}` or `{image, answers}`, or whether a class is there and how it is, `{named, there,
   * colour, key}`: undo must not be done twice when only its answer was lost.
   * `turns` is the operation that an undo or redo is about: it goes with one that did nothing, also after the page was
   * loaded again, for it would take back what somebody else did.
   * `done(said, nothing)`, where it did nothing, and `refused(sentence)` are called when the API has said so.
   */
  add(collection, path, body, { method = "POST", check = null, turns = null, done = () => {}, refused = () => {} } = {}) {
    const operation = { id: crypto.getRandomValues(new Uint32Array(2)).join(""), collection, path, method, body, check, turns: turns?.id, tried: false };
    this.after.set(operation, { done, refused });
    this.waiting.push(operation);
    this.keep();
    this.send();
    return operation;
  }

  /** Take back what was never sent; false where it may have arrived. */
  withdraw(operation) {
    const at = this.waiting.indexOf(operation);
    if (at < 0 || operation.tried) return false;
    this.waiting.splice(at, 1);
    this.after.delete(operation);
    this.keep();
    return true;
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    for (let wait = SOONEST; this.waiting.length; ) {
      const operation = this.waiting[0];
      const { done, refused } = this.after.get(operation) ?? {};
      try {
        const again = operation.tried;
        const before = again && operation.check ? await this.stands(operation) : false;
        operation.tried = true;
        this.keep();
        const said = before ? null : await once(operation.method ?? "POST", of(operation.collection, operation.path), operation.body);
        const nothing = said?.action === 0 && !again; // sent again, it may have been done the first time
        this.over(operation, nothing);
        wait = SOONEST;
        done?.(said, nothing);
        tellOthers("labels", operation.collection);
      } catch (error) {
        if (!(error instanceof Sentence)) console.error(error);
        operation.failed = (operation.failed ?? 0) + 1;
        if (passes(error, operation.failed)) {
          this.trouble = error.message;
          this.keep();
          await Promise.race([sleep(Math.max(wait, (error.wait ?? 0) * 1000)), new Promise((wake) => (this.wake = wake))]);
          wait = Math.min(LATEST, wait * 2);
        } else {
          this.over(operation, true);
          const sentence = error instanceof Sentence ? error.message : say("common.broken");
          if (refused) refused(sentence);
          else tell("unsaved", { sentence }); // a window that is gone gave it
        }
      }
    }
    this.sending = false;
  }

  over(operation, nothing) {
    this.waiting.shift();
    this.after.delete(operation);
    for (const one of nothing && operation.id ? this.waiting.filter(({ turns }) => turns === operation.id) : []) {
      this.waiting.splice(this.waiting.indexOf(one), 1);
      this.after.delete(one);
    }
    this.trouble = null;
    this.keep();
  }

  async stands({ collection, check }) {
    const { image, named, there = true, name, ...wanted } = check;
    const now = image ? await once("GET", `/v1/images/${image}`) : (await once("GET", of(collection, "classes"))).items.find((one) => one.name === named);
    if (!now || !there) return !now && !there;
    const written = (value) => JSON.stringify(value && typeof value === "object" ? Object.entries(value).sort() : value);
    return Object.keys(wanted).every((key) => written(now[key]) === written(wanted[key]));
  }
}

const outbox = () => (window.likenessOutbox ??= new Outbox());
