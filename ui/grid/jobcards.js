// Jobs as they run: progress, pause, cancel, what came out.

/** What kind of work it is; one that is not known here goes by the API's name for it. */
const kindOf = ({ kind }) => (`jobs.kind_${kind}` in WORDS.en ? say(`jobs.kind_${kind}`) : kind);

/** When, in as few words as will do. */
function ago(iso) {
  if (!iso) return "";
  const minutes = Math.round((Date.now() - new Date(iso)) / 60000);
  if (minutes < 1) return say("jobs.just_now");
  if (minutes < 60) return say("jobs.minutes_ago", { n: minutes });
  return when(iso);
}

/** What a finished job has to say for itself. */
function outcome(job) {
  const { result } = job;
  if (job.state === "failed") return failureOf(job);
  if (!result) return lineOf(job);
  if (result.sentence) return lineOf({ message: result.sentence, said: job.said });
  if (job.kind === "import") return say("jobs.imported", { n: result.added_total ?? result.added?.length ?? 0, known: result.known ?? 0, refused: result.refused_total ?? result.refused?.length ?? 0 });
  if (job.kind === "index") {
    const rate = result.images_per_second ? say("jobs.rate", { n: Math.round(result.images_per_second) }) : "";
    return say("jobs.indexed", { n: result.indexed ?? 0, fresh: result.encoded ?? 0, rate });
  }
  if (job.kind === "map") return say("map.count", { pictures: pictureCount(result.mapped ?? 0) });
  return lineOf(job);
}

class Jobs {
  constructor(root, data) {
    this.data = data;
    root.classList.add("jobs", data.mode);
    this.toast = new Toast(root);
    this.list = el("div.list");
    root.append(this.list);
    this.running = new Set();
    this.cards = new Map(); // job id → {card, state}
    this.deaf = hear(({ what }) => {
      if (what === "jobs") this.look();
      if (what === "finished" && data.mode === "tray") this.tell("finished", Date.now());
    });
    this.look();
  }

  destroy() {
    this.gone = true;
    clearTimeout(this.timer);
    this.deaf();
  }

  update(data) {
    const changed = JSON.stringify(data) !== JSON.stringify(this.data);
    this.data = data;
    if (changed) this.look();
  }

  /** Ask, draw, ask again: soon while something runs, now and then otherwise, not at all in a hidden window. */
  async look() {
    clearTimeout(this.timer);
    let busy = false;
    if (!document.hidden) {
      try {
        const jobs = (await get(`/v1/jobs?${inUrl({ collection: this.data.collection, limit: this.data.mode === "tray" ? 20 : 100 })}`)).items;
        if (this.gone) return;
        busy = jobs.some((job) => !FINISHED.includes(job.state));
        this.notice(jobs);
        this.draw(this.data.mode === "tray" ? jobs.filter((job) => !FINISHED.includes(job.state)).slice(0, 4) : jobs);
      } catch (error) {
        if (this.gone) return;
        this.list.replaceChildren(el("p.bad.small", {}, error.message));
        this.cards.clear();
      }
    }
    clearTimeout(this.timer);
    if (!this.gone) this.timer = setTimeout(() => this.look(), busy ? 1000 : this.data.mode === "tray" ? 5000 : 3000);
  }

  /** Tell the grids, and Python, when a job has ended: one that was running, or one that came and went between two looks. */
  notice(jobs) {
    const newest = Math.max(0, ...jobs.map((job) => job.id));
    const known = this.newest ?? newest;
    this.newest = Math.max(known, newest);
    for (const job of jobs) {
      if (!FINISHED.includes(job.state)) this.running.add(job.id);
      else if (this.running.delete(job.id) || job.id > known) {
        tellOthers("images", job.collection);
        this.tell?.("finished", job.id);
      }
    }
  }

  draw(jobs) {
    if (!jobs.length && this.data.mode === "list") {
      this.cards.clear();
      return this.list.replaceChildren(el("p.quiet", {}, say("jobs.none")));
    }
    const kept = new Map();
    for (const job of jobs) {
      const state = JSON.stringify(job);
      const before = this.cards.get(job.id);
      if (before && before.state === state) kept.set(job.id, before);
      else {
        const open = before?.card.querySelector("details")?.open;
        const card = this.card(job);
        if (open) card.querySelector("details")?.setAttribute("open", "");
        kept.set(job.id, { card, state });
      }
    }
    this.cards = kept;
    const cards = [...kept.values()].map(({ card }) => card);
    if (cards.length !== this.list.children.length || cards.some((card, k) => this.list.children[k] !== card)) this.list.replaceChildren(...cards);
  }

  card(job) {
    const { mode } = this.data;
    const over = FINISHED.includes(job.state);
    const act = (text, what) => el("button", { type: "button", onclick: () => this.act(job, what) }, text);
    const refused = job.result?.refused ?? []; // the first thousand
    const head = [el("strong", {}, kindOf(job)), el("span.quiet", {}, job.collection), el(`span.state.${job.state}`, {}, say(`jobs.${job.state}`)), el("span.grow")];
    if (mode !== "tray") head.push(el("span.quiet.small", {}, ago(job.created_at)));
    if (!over && mode !== "tray") {
      if (job.state === "running" && job.kind === "training") head.push(act(say("jobs.pause"), "pause"));
      if (job.state === "paused") head.push(act(say("jobs.resume"), "resume"));
      head.push(act(say(job.kind === "training" ? "jobs.stop" : "common.cancel"), "cancel"));
    }
    if (job.state === "failed" && job.params.upload && mode !== "tray") head.push(el("button", { type: "button", onclick: () => this.again(job) }, say("jobs.again")));
    return el(
      "article.job",
      { "aria-label": say("jobs.of", { kind: kindOf(job), collection: job.collection }) },
      el("div.row", {}, head),
      over ? "" : el("progress", { max: 1, value: job.progress, "aria-label": say("common.progress") }),
      el(job.state === "failed" ? "p.bad" : "p", {}, over ? outcome(job) : lineOf(job) || say(`jobs.${job.state}`)),
      refused.length && mode !== "tray"
        ? el("details", {}, el("summary", {}, say("arrive.refused", { n: job.result.refused_total ?? refused.length })), el("ul", {}, refused.map((one) => el("li", {}, el("strong", {}, one.name ?? one.path), ` ${reasonOf(one)}`))), job.params.path ? reopening(job, () => this.look(), (error) => this.toast.fail(error)) : "")
        : "",
    );
  }

  /** Import once more what has arrived: a disk may have been full. */
  async again({ params: { upload, tile, pages } }) {
    try {
      await post(`/v1/uploads/${upload}/finish`, { tile, pages });
      this.look();
    } catch (error) {
      this.toast.fail(error);
    }
  }

  async act(job, what) {
    try {
      await post(`/v1/jobs/${job.id}/${what}`);
      this.look();
    } catch (error) {
      this.toast.fail(error);
    }
  }
}
