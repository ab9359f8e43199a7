// What every component of the page shares: building elements, saying things to the person, being mounted.

/** el("button.primary", {onclick, "aria-label": …}, "text", child): text is always text, never markup. */
function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "style") element.style.cssText = value;
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** "3 pictures", in the person's language. */
const pictureCount = (n) => say("common.pictures", { n });

/** Wait for a pause in the calls, then call once. */
function settled(f, ms) {
  let timer;
  const wait = (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
  wait.stop = () => clearTimeout(timer);
  return wait;
}

/** One sentence at the foot of the component, for a few seconds, read out by screen readers; it stays under the pointer. */
class Toast {
  constructor(root) {
    this.box = el("div.toast", { role: "status", "aria-live": "polite", onpointerenter: () => clearTimeout(this.timer), onpointerleave: () => this.goLater() });
    root.append(this.box);
  }

  say(text, { bad = false, action = null, label = say("common.undo") } = {}) {
    this.box.className = bad ? "toast shown bad" : "toast shown";
    this.box.replaceChildren(text);
    if (action) this.box.append(el("button", { type: "button", onclick: () => (this.hide(), action()) }, label));
    this.stays = bad ? 8000 : 4000; // ms
    this.goLater();
  }

  goLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hide(), this.stays);
  }

  fail(error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Sentence)) console.error(error);
    this.say(error instanceof Sentence ? error.message : say("common.broken"), { bad: true });
  }

  hide() {
    this.box.className = "toast";
    this.box.replaceChildren();
  }
}

/** Ask before something that touches many pictures or cannot be undone; resolves to true or false. */
function ask(root, question, yes, { pictures = [], more = 0, harmless = false } = {}) {
  return new Promise((answer) => {
    const dialog = el(
      "dialog.ask",
      { "aria-label": question, onclose: () => (dialog.remove(), answer(dialog.returnValue === "yes")) },
      el("p", {}, question),
      pictures.length ? el("div.faces", { "aria-hidden": "true" }, pictures.map((image) => el("img", { src: image.preview, alt: "" })), more > 0 ? el("span.quiet", {}, `+${number(more)}`) : "") : "",
      el("form.row", { method: "dialog" }, el("button", { value: "no" }, say("common.cancel")), el(harmless ? "button.primary" : "button.danger", { value: "yes" }, yes)),
    );
    keepKeys(dialog);
    root.append(dialog);
    dialog.showModal();
  });
}

/** Keys pressed in a dialog are no shortcuts while it is open. One that comes right after it closed still finds the focus on its button, and is the page's. */
const keepKeys = (dialog) => dialog.addEventListener("keydown", (event) => dialog.open && event.stopPropagation());

/** Put other lines into a list; the button that had the focus is another now, at the same place. */
function drawAnew(list, lines) {
  const held = list.getRootNode().activeElement;
  const place = [...list.children].findIndex((line) => line.contains(held));
  list.replaceChildren(...lines);
  const line = list.children[place];
  (line?.matches("button") ? line : line?.querySelector("button"))?.focus({ preventScroll: true });
}

/** Draw buttons anew, but not while one of `list` is pressed down: its click would be lost with it. */
function onceLetGo(list, draw) {
  clearTimeout(list.drawn);
  if (list.querySelector(":active")) list.drawn = setTimeout(() => onceLetGo(list, draw), LET_GO);
  else draw();
}

/** A component that ends where the window ends, so that it scrolls inside and its tools stay. */
function fitWindow(root, least, set) {
  const scroller = root.getRootNode().host?.closest('[data-testid="stMain"]');
  const top = root.getBoundingClientRect().top + (scroller?.scrollTop ?? 0);
  set(`${Math.max(least, window.innerHeight - top - 14)}px`);
}

// A rerun that a component asks for names the page it is on. Asked for while the person is leaving that page, it would
// bring them back: from the click that leaves until the next page's component is there, nothing is told.
const LEAVES = ["show", "similar", "varied"];
const PATIENCE = 5000; // ms
const LET_GO = 50; // ms between two looks whether a button is still pressed
const TAKEN_OVER = 200; // ms within which Streamlit calls again
const leaving = (window.likenessLeaving ??= { since: 0 });
if (!leaving.watched) {
  leaving.watched = true;
  document.addEventListener("click", (event) => event.target.closest?.('[data-testid="stSidebarNavLink"]') && (leaving.since = Date.now()), true);
}

/** Streamlit calls a component again when its data or the theme changes: keep the one that is there and update it. */
function mount(component, Part) {
  const { parentElement, data, setTriggerValue } = component;
  speak(data.language);
  let part = parentElement.likeness;
  if (!part) {
    const root = el("div.likeness");
    parentElement.append(root);
    part = parentElement.likeness = new Part(root, data);
    part.root = root;
    leaving.since = 0;
  }
  const turn = (part.turn = {});
  part.tell = (name, value) => {
    if (Date.now() - leaving.since < PATIENCE && !LEAVES.includes(name)) return;
    if (LEAVES.includes(name)) leaving.since = Date.now();
    setTriggerValue(name, value);
  };
  part.update(data);
  const end = () => {
    if (part.turn !== turn) return; // a later call has taken over
    part.destroy();
    part.root.remove();
    delete parentElement.likeness;
  };
  // When two changes of data come at once, Streamlit cleans up after the first before it calls again for the second.
  return () => void (parentElement.isConnected ? setTimeout(end, TAKEN_OVER) : end());
}

/** True when a key was pressed while typing somewhere, so it is not a shortcut. */
const typing = (event) => event.composedPath().some((e) => /^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName ?? "") && e.type !== "range");
