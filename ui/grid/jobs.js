// Jobs as they run: progress, pause, cancel, what came out; for a training also its curve.

const KINDS = { import: "Import", index: "Indexing", training: "Training" };
const STATES = { queued: "waiting", running: "running", paused: "paused", succeeded: "done", failed: "failed", cancelled: "cancelled" };

/** Loss and quality over the steps so far, as one picture. */
function curve(rows) {
  const [width, height, left, right, top, bottom] = [640, 220, 44, 44, 12, 26];
  const points = rows.filter((row) => Number.isFinite(row.loss));
  if (points.length < 2) return el("p.quiet", {}, "The curve begins with the second measurement.");
  const steps = points.map((row) => row.step);
  const [first, last] = [steps[0], steps.at(-1)];
  const x = (step) => left + ((step - first) / Math.max(1, last - first)) * (width - left - right);
  const scale = (values) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
    const [from, to] = [low - room, high + room];
    return { from, to, y: (value) => height - bottom - ((value - from) / (to - from)) * (height - top - bottom) };
  };
  const loss = scale(points.map((row) => row.loss));
  const good = points.filter((row) => Number.isFinite(row.quality));
  const quality = good.length ? scale(good.map((row) => row.quality)) : null;
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const path = (list, y, key) => list.map((row, k) => `${k ? "L" : "M"}${x(row.step).toFixed(1)},${y(row[key]).toFixed(1)}`).join("");
  const said = `Loss ${points[0].loss.toFixed(2)} at first, ${points.at(-1).loss.toFixed(2)} now${quality ? `; quality ${good.at(-1).quality.toFixed(2)} now` : ""}.`;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": said, class: "curve" });
  for (let k = 0; k <= 3; k += 1) {
    const value = loss.from + ((loss.to - loss.from) * k) / 3;
    const y = loss.y(value);
    drawing.append(svg("line", { x1: left, x2: width - right, y1: y, y2: y, class: "rule" }), svg("text", { x: left - 6, y: y + 4, "text-anchor": "end", class: "loss" }, value.toFixed(2)));
    if (quality) drawing.append(svg("text", { x: width - right + 6, y: y + 4, class: "quality" }, (quality.from + ((quality.to - quality.from) * k) / 3).toFixed(2)));
  }
  const epochs = points.at(-1).epoch;
  drawing.append(svg("text", { x: left, y: height - 6, class: "axis" }, `epoch ${Math.ceil(points[0].epoch)}`), svg("text", { x: width - right, y: height - 6, "text-anchor": "end", class: "axis" }, `epoch ${Math.ceil(epochs)}`));
  drawing.append(svg("path", { d: path(points, loss.y, "loss"), class: "loss" }));
  if (quality) {
    drawing.append(svg("path", { d: path(good, quality.y, "quality"), class: "quality" }));
    for (const row of good) drawing.append(svg("circle", { cx: x(row.step), cy: quality.y(row.quality), r: 2.5, class: "quality" }));
  }
  const key = el("p.key.small", {}, el("span.loss", {}, "━ loss (lower is better)"), quality ? el("span.quality", {}, "━ quality without labels (higher is better)") : "");
  return el("figure", {}, drawing, key);
}

/** When, in as few words as will do. */
function ago(iso) {
  if (!iso) return "";
  const minutes = Math.round((Date.now() - new Date(iso)) / 60000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  return new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" });
}

/** What a finished job has to say for itself. */
function outcome(job) {
  const { result } = job;
  if (job.state === "failed") return job.error ?? "It failed; the log says more.";
  if (!result) return job.message;
  if (job.kind === "training") return result.sentence ?? result.verdict ?? job.message;
  const number = (n) => (n ?? 0).toLocaleString("en");
  if (job.kind === "import") {
    const added = count(result.added_total ?? result.added?.length ?? 0, "picture");
    return `${added} added, ${number(result.known)} known already, ${number(result.refused?.length)} refused.`;
  }
  if (job.kind === "index") {
    const rate = result.images_per_second ? `, ${number(Math.round(result.images_per_second))} a second` : "";
    return `${count(result.indexed ?? 0, "picture")} can be searched; ${number(result.encoded)} new${rate}.`;
  }
  return job.message;
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
        const jobs = this.data.job ? [await get(`/v1/jobs/${this.data.job}`)] : (await get(`/v1/jobs?${inUrl({ collection: this.data.collection, limit: this.data.mode === "tray" ? 20 : 100 })}`)).items;
        if (this.gone) return;
        busy = jobs.some((job) => !FINISHED.includes(job.state));
        this.notice(jobs);
        await this.draw(this.data.mode === "tray" ? jobs.filter((job) => !FINISHED.includes(job.state)).slice(0, 4) : jobs);
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

  async draw(jobs) {
    if (!jobs.length && this.data.mode === "list") {
      this.cards.clear();
      return this.list.replaceChildren(el("p.quiet", {}, "No job has run yet. Importing, indexing and training appear here."));
    }
    const kept = new Map();
    for (const job of jobs) {
      const state = JSON.stringify(job);
      const rows = this.data.mode === "training" && job.kind === "training" ? (await get(`/v1/jobs/${job.id}/metrics`).catch(() => ({ rows: [] }))).rows : null;
      const before = this.cards.get(job.id);
      if (before && before.state === state && before.rows === rows?.length) kept.set(job.id, before);
      else {
        const open = before?.card.querySelector("details")?.open;
        const card = this.card(job, rows);
        if (open) card.querySelector("details")?.setAttribute("open", "");
        kept.set(job.id, { card, state, rows: rows?.length });
      }
    }
    this.cards = kept;
    const cards = [...kept.values()].map(({ card }) => card);
    if (cards.length !== this.list.children.length || cards.some((card, k) => this.list.children[k] !== card)) this.list.replaceChildren(...cards);
  }

  card(job, rows) {
    const { mode } = this.data;
    const over = FINISHED.includes(job.state);
    const act = (text, what) => el("button", { type: "button", onclick: () => this.act(job, what) }, text);
    const refused = job.result?.refused ?? [];
    const head = [el("strong", {}, KINDS[job.kind] ?? job.kind), el("span.quiet", {}, job.collection), el(`span.state.${job.state}`, {}, STATES[job.state]), el("span.grow")];
    if (mode !== "tray") head.push(el("span.quiet.small", {}, ago(job.created_at)));
    if (!over && mode !== "tray") {
      if (job.state === "running" && job.kind === "training") head.push(act("Pause", "pause"));
      if (job.state === "paused") head.push(act("Go on", "resume"));
      head.push(act(job.kind === "training" ? "Stop" : "Cancel", "cancel"));
    }
    return el(
      "article.job",
      { "aria-label": `${KINDS[job.kind] ?? job.kind} of ${job.collection}` },
      el("div.row", {}, head),
      over ? "" : el("progress", { max: 1, value: job.progress, "aria-label": "Progress" }),
      el(job.state === "failed" ? "p.bad" : "p", {}, over ? outcome(job) : job.message || STATES[job.state]),
      rows ? curve(rows) : "",
      refused.length && mode !== "tray"
        ? el("details", {}, el("summary", {}, `${count(refused.length, "file")} refused`), el("ul", {}, refused.slice(0, 500).map(({ name, path, reason }) => el("li", {}, el("strong", {}, name ?? path), ` ${reason}`))))
        : "",
    );
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

export default (component) => mount(component, Jobs);
