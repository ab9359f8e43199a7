// Talking to /v1 from the page's own origin: one sentence for every failure, patience where the API asks for it,
// and word of every write to whoever shows whether all is saved.

const TRIES = 4; // of a request that the API was too busy for
const SLOW = 4000; // ms after which the person is told that the answer is still awaited

/** An error whose message is one sentence for the person at the screen. */
class Sentence extends Error {
  constructor(text, status = 0, name = "Unreachable", wait = null) {
    super(text);
    this.status = status;
    this.kind = name;
    this.wait = wait; // seconds that the API asks to be left alone
  }
}

/** What the person's language says of this very problem or of such an error, else the API's own sentence, which is English; ours where something in between answered. */
function sentenceOf(status, said, wait = null) {
  if (said && typeof said.detail === "string" && said.error) return new Sentence(inWordsOf(said.said) ?? WORDS[language][`problem.${said.error}`] ?? said.detail, status, said.error, wait);
  if (status === 413) return new Sentence(say("common.too_large"), status, "TooLarge");
  if (status === 429 || status === 503) return new Sentence(say("common.busy"), status, "Busy", wait);
  if (status === 401) return new Sentence(say("common.signed_out"), status, "SignedOut");
  return new Sentence(say("common.unexpected", { status: String(status) }), status, "UnexpectedAnswer");
}

/** One request. Throws Sentence, or the AbortError of its signal; never anything else. */
async function once(method, path, body, signal) {
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
    throw new Sentence(say("common.down"));
  }
  const said = await answerOf(response);
  if (response.ok) return said;
  throw sentenceOf(response.status, said, Number(response.headers.get("Retry-After")) || null);
}

/** What a response says, null where that is nothing we know; throws as `once` where a good answer was torn off. */
async function answerOf(response) {
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (response.ok) throw new Sentence(say("common.down"));
    return null; // not the API's own
  }
}

/**
 * A request that waits and asks again while the API says that it is busy and for how long. Where it went away meanwhile
 * nobody knows whether it did what was asked: what must not be done `twice` is not asked again then.
 */
async function call(method, path, body, signal, { twice = true } = {}) {
  let late = false;
  const slow = setTimeout(() => ((late = true), tell("slow", { path })), SLOW);
  try {
    for (let tries = 1; ; tries += 1) {
      try {
        return await once(method, path, body, signal);
      } catch (error) {
        if (![429, 503].includes(error.status) || !error.wait || error.wait > 10 || tries === TRIES || signal?.aborted) throw error;
        if (!twice && error.kind === "ApiDown") throw error;
        await sleep(error.wait * 1000);
      }
    }
  } finally {
    clearTimeout(slow);
    if (late) tell("answered", { path });
  }
}

/** A write that the person must be able to rely on: the tray shows it on its way, safe, or lost. What the API will not do as things are (409) is not lost: whoever asked says why. */
async function save(path, body, method = "POST", how = {}) {
  tell("saving", {});
  try {
    const said = await call(method, path, body, undefined, how);
    tell("saved", {});
    return said;
  } catch (error) {
    if (error.status === 409) tell("refused", {});
    else tell("unsaved", { sentence: error.message });
    throw error;
  }
}

const get = (path, signal) => call("GET", path, undefined, signal);
const post = (path, body, signal) => call("POST", path, body ?? {}, signal);
const of = (collection, rest = "") => `/v1/collections/${encodeURIComponent(collection)}${rest ? `/${rest}` : ""}`;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const FINISHED = ["succeeded", "failed", "cancelled"];

/** An object as a query string, without the keys that are empty. */
function inUrl(values) {
  const given = Object.entries(values).filter(([, v]) => v !== undefined && v !== null && v !== "");
  return new URLSearchParams(given).toString();
}

/** Components on one page are separate; they hear of each other here: "labels", "images", "classes", "jobs", "saved", … */
const tell = (what, detail) => window.dispatchEvent(new CustomEvent("likeness", { detail: { what, ...detail } }));
const tellOthers = (what, collection) => tell(what, { collection });
function hear(f) {
  const listener = (event) => f(event.detail);
  window.addEventListener("likeness", listener);
  return () => window.removeEventListener("likeness", listener);
}
