// Pictures in: files, folders and zips, chosen or dropped, sent straight to the API in batches, however many there are.

const BATCH_FILES = 50;
const BATCH_BYTES = 64e6;
const PICTURE = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|avif|heic|heif|zip)$/i;

/** Every file behind a drop, folders opened to the bottom: [{file, path}]. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  const walk = async (entry, folder) => {
    const path = folder + entry.name;
    if (entry.isFile) {
      const file = await new Promise((yes, no) => entry.file(yes, no)).catch(() => null);
      if (file) found.push({ file, path });
      return;
    }
    const reader = entry.createReader();
    for (;;) {
      const some = await new Promise((yes, no) => reader.readEntries(yes, no)).catch(() => []); // a hundred at a time
      if (!some.length) return;
      for (const one of some) await walk(one, `${path}/`);
    }
  };
  for (const entry of entries) await walk(entry, "");
  return found;
}

/** Split so that one request stays small enough to repeat and to show progress by. */
function batches(files) {
  const all = [];
  let batch = [];
  let bytes = 0;
  for (const one of files) {
    if (batch.length && (batch.length >= BATCH_FILES || bytes + one.file.size > BATCH_BYTES)) {
      all.push(batch);
      [batch, bytes] = [[], 0];
    }
    batch.push(one);
    bytes += one.file.size;
  }
  if (batch.length) all.push(batch);
  return all;
}

/** POST with progress of the sending, which fetch cannot tell. Resolves to the job. */
function send(address, batch, progress, hold) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    hold(request);
    request.open("POST", address);
    request.responseType = "json";
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onload = () => (request.status < 300 ? done(request.response) : failed(sentenceOf(request.status, request.response)));
    request.onerror = () => failed(new Sentence("The connection was lost while sending. What had arrived is kept; send the rest again."));
    request.onabort = () => failed(new DOMException("stopped", "AbortError"));
    const body = new FormData();
    for (const { file, path } of batch) body.append("files", file, path);
    request.send(body);
  });
}

class Upload {
  constructor(root, data) {
    this.root = root;
    root.classList.add("upload");
    this.toast = new Toast(root);
    const picker = (attributes, text) => {
      const input = el("input", { type: "file", multiple: true, hidden: true, "aria-label": text, ...attributes });
      input.onchange = () => {
        this.take([...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name })));
        input.value = "";
      };
      return [input, el("button", { type: "button", onclick: () => input.click() }, text)];
    };
    const [files, chooseFiles] = picker({ accept: "image/*,.zip,.heic,.avif" }, "Choose files or a zip");
    const [folder, chooseFolder] = picker({ webkitdirectory: true }, "Choose a folder");
    this.into = el("span.quiet");
    this.zone = el("div.zone", {}, el("p", {}, el("strong", {}, "Drop pictures, a folder or a zip here")), el("div.row", {}, chooseFiles, chooseFolder), this.into, files, folder);
    this.bar = el("progress", { max: 1 });
    this.line = el("p.line", { role: "status" });
    this.stop = el("button", { type: "button", onclick: () => this.halt() }, "Stop");
    this.doing = el("div.doing", { hidden: true }, this.bar, el("div.row", {}, this.line, el("span.grow"), this.stop));
    this.done = el("div.done", { hidden: true });
    root.append(this.zone, this.doing, this.done);
    for (const name of ["dragover", "dragenter"]) root.addEventListener(name, (event) => (event.preventDefault(), root.classList.add("over")));
    root.addEventListener("dragleave", (event) => !root.contains(event.relatedTarget) && root.classList.remove("over"));
    root.addEventListener("drop", async (event) => {
      event.preventDefault();
      root.classList.remove("over");
      this.say(null, "Looking through what was dropped…");
      this.take(await dropped(event.dataTransfer));
    });
    this.leaving = (event) => this.sending && event.preventDefault();
    window.addEventListener("beforeunload", this.leaving);
  }

  destroy() {
    this.gone = true;
    window.removeEventListener("beforeunload", this.leaving);
  }

  update(data) {
    this.collection = data.collection;
    this.into.textContent = data.exists ? `They go into “${data.collection}”.` : `They go into a new collection, “${data.collection}”.`;
    this.exists = data.exists;
    if (data.job && data.job !== this.following) this.follow([data.job], []); // an import of a path, started in Python
  }

  say(part, text) {
    this.doing.hidden = false;
    this.done.hidden = true;
    if (part === null) this.bar.removeAttribute("value");
    else this.bar.value = part;
    this.line.textContent = text;
  }

  halt() {
    this.halted = true;
    this.request?.abort();
    this.jobs?.forEach((job) => post(`/v1/jobs/${job}/cancel`).catch(() => {}));
  }

  async take(files) {
    const good = files.filter(({ path }) => PICTURE.test(path));
    const refused = files.filter(({ path }) => !PICTURE.test(path)).map(({ path }) => ({ name: path, reason: "not a picture or a zip, not sent" }));
    if (!good.length) return this.finish({ added: 0, known: 0, refused }, files.length ? "There was no picture among these files." : "Nothing was chosen.");
    const collection = this.collection;
    const total = good.reduce((sum, { file }) => sum + file.size, 0);
    const jobs = (this.jobs = []);
    this.halted = false;
    this.sending = true;
    let [sent, number] = [0, 0];
    const started = performance.now();
    try {
      if (!this.exists) await post("/v1/collections", { name: collection }).catch((error) => error.status !== 409 && Promise.reject(error));
      for (const batch of batches(good)) {
        const size = batch.reduce((sum, { file }) => sum + file.size, 0);
        const progress = (loaded) => {
          const now = sent + Math.min(loaded, size);
          const rate = now / ((performance.now() - started) / 1000);
          const left = rate > 0 ? Math.round((total - now) / rate) : null;
          this.say(now / total, `Sending ${count(good.length, "file")}: ${megabytes(now)} of ${megabytes(total)}${left > 2 ? `, ${left} s left` : ""}`);
        };
        progress(0);
        const job = await this.patiently(() => send(of(collection, "images"), batch, progress, (request) => (this.request = request)));
        jobs.push(job.id);
        tellOthers("jobs", collection);
        sent += size;
        number += batch.length;
      }
    } catch (error) {
      this.sending = false;
      const came = number ? `${number.toLocaleString("en")} of ${count(good.length, "file")} had been sent.` : "";
      if (!jobs.length) return this.finish(null, error.name === "AbortError" ? "Stopped." : `${error.message} ${came}`, error.name !== "AbortError");
      this.trouble = error.name === "AbortError" ? `Stopped: ${came}` : `${error.message} ${came}`;
    }
    this.sending = false;
    await this.follow(jobs, refused);
  }

  /** Busy is not a failure: wait and try again, for a minute. */
  async patiently(f) {
    for (let wait = 1; ; wait *= 2) {
      try {
        return await f();
      } catch (error) {
        if (![429, 503].includes(error.status) || wait > 32 || this.halted) throw error;
        await sleep(wait * 1000);
      }
    }
  }

  /** Show the import jobs to their end, then the indexing that follows by itself. */
  async follow(jobs, refused) {
    this.following = jobs[0];
    this.jobs = jobs;
    const collection = this.collection;
    const result = { added: 0, known: 0, refused: [...refused] };
    const wrong = [];
    try {
      for (const [number, id] of jobs.entries()) {
        const job = await this.watch(id, (now) => {
          const which = jobs.length > 1 ? ` (${number + 1} of ${jobs.length})` : "";
          this.say((number + now.progress) / jobs.length, `Reading pictures${which}: ${now.message}`);
        });
        const got = job.result ?? {};
        result.added += got.added_total ?? got.added?.length ?? 0;
        result.known += got.known ?? 0;
        result.refused.push(...(got.refused ?? []));
        if (job.state === "failed") wrong.push(job.error);
        tellOthers("images", collection);
      }
      const index = await this.nextIndex(collection, Math.max(...jobs));
      if (index) {
        const job = await this.watch(index.id, (now) => this.say(now.progress, `Making them searchable: ${now.message}`));
        if (job.state === "failed") wrong.push(job.error);
      }
      tellOthers("images", collection);
    } catch (error) {
      wrong.push(error.message);
    }
    if (this.trouble) wrong.push(this.trouble);
    this.trouble = null;
    this.finish(result, wrong.join(" "), wrong.length > 0);
  }

  async watch(id, show) {
    for (;;) {
      const job = await get(`/v1/jobs/${id}`);
      if (FINISHED.includes(job.state) || this.gone) return job;
      show(job);
      await sleep(300);
    }
  }

  /** The index job that the API queues after an import; none comes when nothing was added. */
  async nextIndex(collection, after) {
    for (let tries = 0; tries < 10; tries += 1) {
      const { items } = await get(`/v1/jobs?${inUrl({ collection, limit: 20 })}`);
      const job = items.find(({ id, kind }) => kind === "index" && id > after);
      if (job) return job;
      await sleep(300);
    }
    return null;
  }

  finish(result, text, bad = false) {
    this.doing.hidden = true;
    this.done.hidden = false;
    const added = result ? `${count(result.added, "picture")} added${result.known ? `, ${result.known.toLocaleString("en")} known already` : ""}.` : "";
    const refused = result?.refused ?? [];
    this.done.replaceChildren(
      el("div.row", {}, el("strong", {}, added), result?.added || result?.known ? el("button.primary", { type: "button", onclick: () => this.tell("show", this.collection) }, "Show them") : ""),
      text ? el(bad ? "p.bad" : "p", {}, text) : "",
      refused.length
        ? el(
            "details",
            {},
            el("summary", {}, `${count(refused.length, "file")} refused`),
            el("ul", {}, refused.slice(0, 200).map(({ name, path, reason }) => el("li", {}, el("strong", {}, name ?? path), ` ${reason}`)), refused.length > 200 ? el("li.quiet", {}, "and more; the Jobs page has all of them") : ""),
          )
        : "",
    );
    if (result) tellOthers("finished", this.collection); // there may be a collection that the sidebar does not know yet
  }
}

export default (component) => mount(component, Upload);
