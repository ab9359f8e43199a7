// What the page says: the tables of ui/languages, which components.py puts before this file as WORDS.

let language = "en";

/** Speak another language from now on; one that has no table is English. */
function speak(wanted) {
  language = wanted in WORDS ? wanted : "en";
  document.documentElement.lang = language;
}

/** The text "file.key" with its values filled in; one that depends on a number chooses its form by `n`. */
function say(key, values = {}) {
  let text = WORDS[language][key] ?? WORDS.en[key] ?? key;
  if (typeof text !== "string") text = text[new Intl.PluralRules(language).select(values.n)] ?? text.other;
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? number(values[name]) : whole));
}

/** What a job says, by its name and values where the language has that sentence; English is the API's own. */
function lineOf({ message, said }) {
  return inWordsOf(said) ?? message;
}

function inWordsOf(said) {
  if (!said || !(`progress.${said.name}` in WORDS[language])) return null;
  const spoken = ([name, value]) => [name, name === "left" ? lasting(value) : value === "none of these" ? say("grid.none_of_these") : value && typeof value === "object" ? inWordsOf(value) : value];
  const values = Object.entries(said.values).map(spoken);
  return values.some(([, value]) => value === null) ? null : say(`progress.${said.name}`, Object.fromEntries(values));
}

/** What the API says in a sentence that has its name and values beside it, or the name of an error. */
const sentenceFor = (message, said) => message && (WORDS[language][`problem.${said?.values.error}`] ?? lineOf({ message, said }));

/** Why a job failed: its own reason or what the language says of such an error, else the API's own sentence. */
function failureOf({ error, said }) {
  return inWordsOf(said?.values.why) ?? WORDS[language][`problem.${said?.values.error}`] ?? error ?? say("jobs.failed_so");
}

/** Why a file was refused. */
const reasonOf = ({ reason, said }) => inWordsOf(said) ?? reason;

const number = (value) => (typeof value === "number" ? value.toLocaleString(language) : String(value));
const percent = (p) => `${Math.round(p * 100)} %`;
const megabytes = (bytes) => (bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} KB` : `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`);
const when = (iso) => iso && new Date(iso).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });

/** Seconds as a person says them. */
function lasting(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return say("common.seconds", { n: s });
  if (s < 5400) return say("common.minutes", { n: Math.round(s / 60) });
  return say("common.hours", { n: Math.round(s / 3600) });
}
