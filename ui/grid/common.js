// What every component of the page shares: talking to /v1, building elements, saying things to the person.

/** An error whose message is one sentence for the person at the screen. */
class Sentence extends Error {
  constructor(text, status = 0, name = "Unreachable") {
    super(text);
    this.status = status;
    this.kind = name;
  }
}

/** One request to the API, from the page's own origin. Throws Sentence; never anything else. */
async function call(method, path, body, signal) {
  const options = { method, signal, headers: { Accept: "application/json" } };
  if (body instanceof FormData) options.body = body;
  else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Sentence("Likeness does not answer. Is it still running?");
  }
  const said = await response.json().catch(() => null);
  if (response.ok) return said;
  throw sentenceOf(response.status, said);
}

/** The API's own sentence, or ours where something in between answered. */
function sentenceOf(status, said) {
  if (said && typeof said.detail === "string") return new Sentence(said.detail, status, said.error);
  if (status === 413) return new Sentence("That is more than Likeness takes at once.", status, "TooLarge");
  if (status === 429 || status === 503) return new Sentence("Likeness is busy. Try again in a moment.", status, "Busy");
  return new Sentence(`Likeness could not do that (${status}).`, status, "UnexpectedAnswer");
}

const get = (path, signal) => call("GET", path, undefined, signal);
const post = (path, body, signal) => call("POST", path, body ?? {}, signal);
const of = (collection, rest = "") =>
  `/v1/collections/${encodeURIComponent(collection)}${rest ? `/${rest}` : ""}`;

/** An object as a query string, without the keys that are empty. */
function inUrl(values) {
  const given = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== "");
  return new URLSearchParams(given).toString();
}

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

const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
const percent = (p) => `${Math.round(p * 100)} %`;
const megabytes = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const FINISHED = ["succeeded", "failed", "cancelled"];

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

/** Components on one page are separate; they hear of each other's changes here: "labels", "images", "classes", "jobs". */
const tellOthers = (what, collection) => window.dispatchEvent(new CustomEvent("likeness", { detail: { what, collection } }));
function hear(f) {
  const listener = (event) => f(event.detail);
  window.addEventListener("likeness", listener);
  return () => window.removeEventListener("likeness", listener);
}

/** One sentence at the foot of the component, for a few seconds, read out by screen readers. */
class Toast {
  constructor(root) {
    this.box = el("div.toast", { role: "status", "aria-live": "polite" });
    root.append(this.box);
  }

  say(text, { bad = false, action = null, label = "Undo" } = {}) {
    clearTimeout(this.timer);
    this.box.className = bad ? "toast shown bad" : "toast shown";
    this.box.replaceChildren(text);
    if (action) this.box.append(el("button", { type: "button", onclick: () => (this.hide(), action()) }, label));
    this.timer = setTimeout(() => this.hide(), bad ? 8000 : 4000);
  }

  fail(error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Sentence)) console.error(error);
    this.say(error instanceof Sentence ? error.message : "Something went wrong on this page. Reload it.", { bad: true });
  }

  hide() {
    this.box.className = "toast";
    this.box.replaceChildren();
  }
}

/** Ask before something that cannot be undone; resolves to true or false. */
function ask(root, question, yes) {
  return new Promise((answer) => {
    const dialog = el(
      "dialog.ask",
      { "aria-label": question, onclose: () => (dialog.remove(), answer(dialog.returnValue === "yes")) },
      el("p", {}, question),
      el("form.row", { method: "dialog" }, el("button", { value: "no" }, "Cancel"), el("button.danger", { value: "yes" }, yes)),
    );
    dialog.addEventListener("keydown", (event) => event.stopPropagation());
    root.append(dialog);
    dialog.showModal();
  });
}

// A rerun that a component asks for names the page it is on. Asked for while the person is leaving that page, it would
// bring them back: from the click that leaves until the next page's component is there, nothing is told.
const LEAVES = ["show", "similar", "pictures"];
const PATIENCE = 5000; // ms
const leaving = (window.likenessLeaving ??= { since: 0 });
if (!leaving.watched) {
  leaving.watched = true;
  document.addEventListener("click", (event) => event.target.closest?.('[data-testid="stSidebarNavLink"]') && (leaving.since = Date.now()), true);
}

/** Streamlit calls a component again when its data or the theme changes: keep the one that is there and update it. */
function mount(component, Part) {
  const { parentElement, data, setTriggerValue } = component;
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
  return () => {
    if (part.turn !== turn) return; // a later call has taken over
    part.destroy();
    part.root.remove();
    delete parentElement.likeness;
  };
}

/** True when a key was pressed while typing somewhere, so it is not a shortcut. */
const typing = (event) => event.composedPath().some((e) => /^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName ?? "") && e.type !== "range");
