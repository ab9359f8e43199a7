// Files on their way to the API: in batches that can be gone on with, a few at once, each imported as soon as it is whole,
// so that the first hundred can be searched while the rest is still being sent. Lives in the window: leaving the page
// that began it does not stop it.

const FIRST = 100; // files of the first batch
const LATER = 1000;
const BATCH_BYTES = 1e9;
const LANES = 4; // requests at once
const LONGEST = 30_000; // ms between two tries while nobody answers
const GIVES_UP = 10 * 60_000; // ms without an answer after which the sending stops
const LOOK = 500; // ms between two looks at the jobs

/** Split so that the first pictures are there soon and no batch is too large to repeat. */
function batches(files) {
  const all = [];
  let [batch, bytes] = [[], 0];
  for (const one of files) {
    if (batch.length && (batch.length >= (all.length ? LATER : FIRST) || bytes + one.file.size > BATCH_BYTES)) {
      all.push(batch);
      [batch, bytes] = [[], 0];
    }
    batch.push(one);
    bytes += one.file.size;
  }
  if (batch.length) all.push(batch);
  return all;
}

/** PUT one file from a byte on, with the progress that fetch cannot tell. */
function put(upload, { file, path }, offset, progress, hold) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    hold(request);
    request.open("PUT", `/v1/uploads/${upload}/file?${inUrl({ name: path, size: file.size, offset: String(offset) })}`);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress(offset + event.loaded);
    request.onload = () => (request.status < 300 ? done(request.response) : failed(sentenceOf(request.status, request.response, Number(request.getResponseHeader("Retry-After")) || null)));
    request.onerror = () => failed(new Sentence(say("arrive.lost")));
    request.onabort = () => failed(new DOMException("stopped", "AbortError"));
    request.send(file.slice(offset));
  });
}

class Sending {
  /** `options`: {tile, pages} of the import, where they are not as usual. */
  constructor(collection, files, refused = [], options = {}) {
    Object.assign(this, { collection, files, refused, options, jobs: [], before: 0, unlisted: 0, sentFiles: 0, phase: "sending", trouble: "", known: 0, added: 0, searchable: 0, seen: Date.now() });
    this.total = files.reduce((sum, { file }) => sum + file.size, 0);
    this.here = new Map(); // path → bytes that have arrived
    this.requests = new Set();
    this.started = performance.now();
    this.leaving = (event) => this.phase === "sending" && event.preventDefault();
    window.addEventListener("beforeunload", this.leaving);
  }

  get refusedTotal() {
    return this.refused.length + this.unlisted;
  }

  get bytes() {
    return [...this.here.values()].reduce((sum, n) => sum + n, 0);
  }

  /** Files a second, and seconds left. Both files and bytes take their time: small ones wait for answers, large ones for the line. */
  pace() {
    const seconds = (performance.now() - this.started) / 1000;
    const share = (this.sentFiles / this.files.length + (this.total ? this.bytes / this.total : 1)) / 2;
    return { files: this.sentFiles / seconds, left: share > 0 ? (seconds * (1 - share)) / share : null };
  }

  show() {
    tell("sending", { collection: this.collection, sending: this });
  }

  halt() {
    this.halted = true;
    for (const request of this.requests) request.abort();
    for (const id of this.jobs) post(`/v1/jobs/${id}/cancel`).catch(() => {});
  }

  async run() {
    const ticking = setInterval(() => this.show(), 250);
    const following = this.follow();
    try {
      for (const batch of batches(this.files)) await this.send(batch);
    } catch (error) {
      this.trouble = error.name === "AbortError" ? say("arrive.stopped") : error.message;
    }
    clearInterval(ticking);
    window.removeEventListener("beforeunload", this.leaving);
    this.phase = "importing";
    this.show();
    await following;
    this.phase = "done";
    this.show();
  }

  // --- sending

  /** Go on with the batch that an earlier visit began with these files, known by the first of them; else begin a new one. */
  async begin(batch) {
    const [{ file: first, path }] = batch;
    const place = `likeness.upload.${this.collection}/${path}/${first.size}/${first.lastModified}`;
    const open = localStorage.getItem(place);
    const before = open && (await get(`/v1/uploads/${open}`).catch(() => null));
    const sizes = new Map(batch.map(({ file, path }) => [path, file.size]));
    if (before && before.files.every(({ name, size }) => sizes.get(name) === size)) {
      this.before += before.bytes;
      return { ...before, place };
    }
    const begun = await this.patiently(() => post(of(this.collection, "uploads")));
    localStorage.setItem(place, begun.upload);
    return { ...begun, place };
  }

  async send(batch) {
    const { upload, files, place } = await this.begin(batch);
    const here = new Map(files.map((file) => [file.name, file]));
    const waiting = [...batch];
    let good = 0;
    const lane = async () => {
      for (let one = waiting.shift(); one && !this.halted; one = waiting.shift()) if (await this.sendFile(upload, one, here.get(one.path))) good += 1;
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    if (this.halted) throw new DOMException("stopped", "AbortError");
    if (good) {
      const job = await this.patiently(() => post(`/v1/uploads/${upload}/finish`, this.options));
      this.jobs.push(job.id);
      tellOthers("jobs", this.collection);
    }
    localStorage.removeItem(place);
  }

  /** Send one file to its end, from where it broke off as often as it breaks off; false when nobody can read it or the API refuses it. */
  async sendFile(upload, one, before) {
    let offset = before?.received ?? 0;
    try {
      if (!before?.complete) await this.patiently(
        () => put(upload, one, offset, (n) => this.here.set(one.path, Math.min(n, one.file.size)), (request) => {
          this.requests.add(request);
          request.addEventListener("loadend", () => this.requests.delete(request));
        }),
        async () => {
          await one.file.slice(0, 1).arrayBuffer().catch(() => {
            throw new Sentence(say("arrive.unreadable"), 422); // a browser says no more of a file that changed than of a lost line
          });
          const now = await get(`/v1/uploads/${upload}`);
          offset = now.files.find(({ name }) => name === one.path)?.received ?? 0;
        },
      );
    } catch (error) {
      if (![413, 422].includes(error.status)) {
        for (const request of this.requests) request.abort();
        throw error;
      }
      await call("DELETE", `/v1/uploads/${upload}/file?${inUrl({ name: one.path })}`).catch(() => {}); // half of it would keep the others waiting
      this.refused.push({ name: one.path, reason: error.message });
      this.total -= one.file.size;
      this.here.delete(one.path);
      return false;
    }
    this.here.set(one.path, one.file.size);
    this.sentFiles += 1;
    return true;
  }

  /** Busy or gone is not a failure: wait, find out where we were, and try again, for ten minutes. */
  async patiently(f, again = async () => {}) {
    let since = null;
    for (let wait = 1000; ; wait = Math.min(LONGEST, wait * 2)) {
      try {
        if (since !== null) await again();
        const said = await f();
        this.waitingFor = null;
        return said;
      } catch (error) {
        const passing = [0, 409, 429, 503].includes(error.status) && error.kind !== "NoSuchUpload";
        since ??= performance.now();
        if (!passing || this.halted || performance.now() - since > GIVES_UP) throw error;
        this.waitingFor = error.status === 409 ? null : error.message;
        this.show();
        await sleep(error.status === 409 ? 200 : (error.wait ?? 0) * 1000 || wait);
      }
    }
  }

  // --- importing

  /** Watch the import jobs and the indexing that follows each, to the end of the last. */
  async follow() {
    const over = new Map(); // job id → its last state
    while (this.phase === "sending" || this.jobs.some((id) => !over.has(id))) {
      for (const id of this.jobs.filter((one) => !over.has(one))) {
        const job = await get(`/v1/jobs/${id}`).catch(() => null);
        if (!job) continue;
        this.running = job;
        if (!FINISHED.includes(job.state)) break;
        over.set(id, job);
        this.take(job);
      }
      await this.look();
      await sleep(LOOK);
    }
    this.running = null;
    if (!this.added) return this.look();
    for (let tries = 0; tries < 8; tries += 1) {
      const more = await this.look();
      if (more) tries = 0; // indexing is queued or running
      else if (more === false && this.indexing) return;
      else if (more === undefined && Date.now() - this.seen < GIVES_UP) tries = 0; // nobody answers, which says nothing
      await sleep(LOOK);
    }
  }

  take(job) {
    const got = job.result ?? {};
    this.added += got.added_total ?? got.added?.length ?? 0;
    this.known += got.known ?? 0;
    this.refused.push(...(got.refused ?? []));
    this.unlisted += Math.max(0, (got.refused_total ?? 0) - (got.refused ?? []).length);
    if (job.state === "failed") this.trouble = failureOf(job);
    if (job.params.path) this.byPath = job;
    this.indexing = null;
    tellOthers("images", this.collection);
  }

  /** How many can be searched by now; true while more are being made searchable, undefined where nobody says. */
  async look() {
    const after = Math.max(0, ...this.jobs);
    try {
      const { items } = await get(`/v1/jobs?${inUrl({ collection: this.collection, limit: 20 })}`);
      this.indexing = items.find(({ id, kind }) => kind === "index" && id > after) ?? null;
      if (this.indexing?.state === "failed") this.trouble = failureOf(this.indexing);
      this.searchable = (await get(of(this.collection))).indexed;
      this.show();
      this.seen = Date.now();
      return this.indexing !== null && !FINISHED.includes(this.indexing.state);
    } catch {
      return undefined; // the next look may tell; until then it stands as it did
    }
  }
}

/** Begin, or give what is under way already. */
function startSending(collection, files, refused, options) {
  const now = window.likenessSending;
  if (now && now.phase !== "done") return null;
  const sending = (window.likenessSending = new Sending(collection, files, refused, options));
  sending.run();
  return sending;
}

/** Follow an import that was asked for elsewhere, as if its files had been sent. */
function followImport(collection, job) {
  const sending = (window.likenessSending = new Sending(collection, []));
  sending.jobs.push(job);
  sending.run();
  return sending;
}
