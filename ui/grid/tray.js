// The foot of the sidebar: what is being sent and done now, whether everything is saved, and the language.

class Tray extends Jobs {
  constructor(root, data) {
    super(root, data);
    this.sending = el("p.small", { hidden: true });
    this.slow = el("p.small", { role: "status", hidden: true }, say("common.slow"));
    this.saved = el("p.saved.small.quiet", { role: "status" });
    const languages = Object.entries(data.languages);
    const choose = el("select.small", { "aria-label": say("tray.language"), onchange: () => this.speak(choose.value) }, el("option", { value: "" }, say("tray.automatic")), languages.map(([code, name]) => el("option", { value: code, lang: code }, name)));
    choose.value = data.chosen ?? "";
    root.prepend(this.sending);
    root.append(this.slow, this.saved, choose);
    this.open = 0; // writes on their way
    this.late = 0; // answers of any part of the page that are awaited longer than they should be
    this.kept = { waiting: outbox().waiting.length, trouble: outbox().trouble }; // labels that wait for their answer, and why
    this.deafToSaves = hear((said) => this.told(said));
    this.sayState();
  }

  destroy() {
    this.deafToSaves();
    super.destroy();
  }

  told({ what, sentence, sending, ...about }) {
    if (what === "outbox") this.kept = about;
    else if (what === "saving") this.open += 1;
    else if (["saved", "unsaved", "refused"].includes(what)) this.open = Math.max(0, this.open - 1);
    else if (what === "slow" || what === "answered") {
      this.late = Math.max(0, this.late + (what === "slow" ? 1 : -1));
      this.slow.hidden = this.late === 0;
      return;
    } else if (what === "sending") return this.showSending(sending);
    else return;
    this.lost = what === "unsaved" ? sentence : what === "saved" ? null : this.lost;
    this.sayState();
  }

  sayState() {
    const { waiting, trouble } = this.kept;
    this.saved.classList.toggle("bad", Boolean(this.lost || trouble));
    if (trouble) this.saved.textContent = say("tray.kept", { n: waiting, sentence: trouble });
    else this.saved.textContent = this.lost ? say("tray.unsaved", { sentence: this.lost }) : say(this.open || waiting ? "tray.saving" : "tray.saved");
  }

  showSending(sending) {
    this.sending.hidden = sending.phase !== "sending" || !sending.files.length;
    this.sending.textContent = sending.waitingFor ?? say("tray.sending", { done: sending.sentFiles, n: sending.files.length });
  }

  speak(code) {
    document.cookie = `${this.data.cookie}=${code}; path=/; max-age=${code ? 31_536_000 : 0}; SameSite=Lax`;
    location.reload();
  }
}

export default (component) => mount(component, Tray);
