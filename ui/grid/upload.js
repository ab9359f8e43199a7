// Pictures in: files, folders and zips, chosen or dropped, a path that the server can see, or the demo.

const PICTURE = /\.(jpe?g|jfif|png|webp|gif|bmp|tiff?|avif|hei[cf]|zip)$/i;
const BESIDE = /(^|\/)(\..*|thumbs\.db|desktop\.ini|__macosx)(\/|$)/i; // what file managers leave in folders, as an import by path passes over
const TILE = { least: 16, usual: 512, most: 8192 }; // px
const LISTED = 200; // refused files that are listed here; the Jobs page has all

/** Every file behind a drop, folders opened to the bottom: [{file, path}]; one that cannot be had is null. */
async function dropped(transfer, progress) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  const walk = async (entry, folder) => {
    const path = folder + entry.name;
    if (entry.isFile) {
      const file = await new Promise((yes, no) => entry.file(yes, no)).catch(() => null);
      found.push({ file, path });
      if (found.length % 200 === 0) progress(found.length);
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
    const [chosen, chooseFiles] = picker({ accept: "image/*,.zip,.heic,.avif" }, say("arrive.choose_files"));
    const [folder, chooseFolder] = picker({ webkitdirectory: true }, say("arrive.choose_folder"));
    this.into = el("span.quiet");
    this.zone = el("div.zone", {}, el("p", {}, el("strong", {}, say("arrive.drop"))), el("div.row", {}, chooseFiles, chooseFolder), this.into, chosen, folder);
    this.path = el("input.grow", { type: "text", id: "path", placeholder: "/home/me/Pictures", autocomplete: "off", spellcheck: "false" });
    this.byFolder = el("input", { type: "checkbox" });
    const pathForm = el(
      "form.way",
      { onsubmit: (event) => (event.preventDefault(), this.importPath()) },
      el("label", { for: "path" }, el("strong", {}, say("arrive.path"))),
      el("div.row", {}, this.path, el("button", {}, say("arrive.import"))),
      el("label.row.small", {}, this.byFolder, say("arrive.folders_are_classes")),
      el("span.quiet.small", {}, say("arrive.stay")),
    );
    const demo = el("div.way", {}, el("strong", {}, say("arrive.demo")), el("span.quiet.small", {}, say("arrive.demo_about")), el("div.row", {}, el("button", { type: "button", onclick: () => this.openDemo() }, say("arrive.open_demo"))));
    this.tiled = el("input", { type: "checkbox", onchange: () => this.optionsChanged() });
    this.side = el("input", { type: "number", min: TILE.least, max: TILE.most, step: 1, value: TILE.usual, required: true, disabled: true, "aria-label": say("arrive.tile_side"), onchange: () => this.optionsChanged() });
    this.everyPage = el("input", { type: "checkbox", onchange: () => this.optionsChanged() });
    this.optionsLine = el("summary", {}, say("arrive.options"));
    this.options = el("details.options", {}, this.optionsLine, el("div.row", {}, el("label.row", {}, this.tiled, say("arrive.tile")), el("span.row", {}, this.side, "px")), el("label.row", {}, this.everyPage, say("arrive.pages")));
    this.bar = el("progress", { max: 1, "aria-label": say("common.progress") });
    this.line = el("p.line", { role: "status" });
    this.second = el("p.line.quiet");
    this.searchNow = el("button", { type: "button", hidden: true, onclick: () => this.tell("show", this.sending.collection) }, say("arrive.search_now"));
    const stop = el("button", { type: "button", onclick: () => this.sending?.halt() }, say("arrive.stop"));
    this.doing = el("div.doing", { hidden: true }, this.bar, el("div.row", {}, el("div.grow", {}, this.line, this.second), this.searchNow, stop));
    this.done = el("div.done", { hidden: true });
    root.append(this.zone, el("div.ways", {}, pathForm, demo), this.options, this.doing, this.done);
    for (const name of ["dragover", "dragenter"]) root.addEventListener(name, (event) => (event.preventDefault(), root.classList.add("over")));
    root.addEventListener("dragleave", (event) => !root.contains(event.relatedTarget) && root.classList.remove("over"));
    root.addEventListener("drop", async (event) => {
      event.preventDefault();
      root.classList.remove("over");
      this.say(null, say("arrive.looking", { n: 0 }));
      this.take(await dropped(event.dataTransfer, (n) => this.say(null, say("arrive.looking", { n }))));
    });
    this.deaf = hear((said) => said.what === "sending" && this.show(said.sending));
    if (window.likenessSending && window.likenessSending.phase !== "done") this.show(window.likenessSending);
  }

  destroy() {
    this.deaf();
  }

  update(data) {
    this.collection = data.collection;
    this.exists = data.exists;
    this.into.textContent = say(data.exists ? "arrive.into" : "arrive.into_new", { name: data.collection });
  }

  say(part, text, second = "") {
    this.doing.hidden = false;
    this.done.hidden = true;
    if (part === null) this.bar.removeAttribute("value");
    else this.bar.value = part;
    if (this.line.textContent !== text) this.line.textContent = text;
    this.second.textContent = second;
  }

  /** Make the collection where it is not there yet. */
  async ensure() {
    if (!this.exists) await post("/v1/collections", { name: this.collection }).catch((error) => error.status !== 409 && Promise.reject(error));
  }

  /** Say beside the word what is chosen, for the choices may be folded away. */
  optionsChanged() {
    this.side.disabled = !this.tiled.checked;
    const chosen = [this.tiled.checked ? say("arrive.tile_chosen", { n: Number(this.side.value) }) : "", this.everyPage.checked ? say("arrive.pages_chosen") : ""].filter(Boolean);
    this.optionsLine.textContent = chosen.length ? say("arrive.options_chosen", { what: chosen.join(say("arrive.and")) }) : say("arrive.options");
  }

  /** The options of an import that are not as usual; null, having said so, where one cannot be. */
  chosen() {
    if (this.tiled.checked && !this.side.checkValidity()) {
      this.options.open = true;
      this.side.focus();
      this.toast.say(say("arrive.tile_bounds", TILE), { bad: true });
      return null;
    }
    return { ...(this.tiled.checked ? { tile: Number(this.side.value) } : {}), ...(this.everyPage.checked ? { pages: "all" } : {}) };
  }

  async take(all) {
    const options = this.chosen();
    if (!options) return;
    const found = all.filter(({ path }) => !(path.includes("/") && BESIDE.test(path)));
    const good = found.filter(({ file, path }) => file && PICTURE.test(path));
    const refused = found.filter(({ file, path }) => !file || !PICTURE.test(path)).map(({ file, path }) => ({ name: path, reason: say(file ? "arrive.no_picture" : "arrive.unreadable") }));
    if (!good.length) return this.finish({ added: 0, known: 0, refused, trouble: say(found.length ? "arrive.no_pictures" : "arrive.nothing") });
    try {
      await this.ensure();
    } catch (error) {
      return this.finish({ refused, trouble: error.message, bad: true });
    }
    if (!startSending(this.collection, good, refused, options)) this.toast.say(say("arrive.one_at_a_time"), { bad: true });
  }

  async importPath() {
    const path = this.path.value.trim();
    if (!path) return this.path.focus();
    const options = this.chosen();
    if (!options) return;
    try {
      await this.ensure();
      const job = await post(of(this.collection, "imports"), { path, labels_from_folders: this.byFolder.checked, ...options });
      tellOthers("jobs", this.collection);
      followImport(this.collection, job.id);
    } catch (error) {
      this.finish({ refused: [], trouble: error.message, bad: true });
    }
  }

  async openDemo() {
    try {
      this.say(null, say("arrive.demo_begins"));
      const job = await post("/v1/demo");
      followImport(job.collection, job.id);
    } catch (error) {
      this.finish({ refused: [], trouble: error.message, bad: true });
    }
  }

  /** What the sending says of itself. */
  show(sending) {
    this.sending = sending;
    const { phase, running, indexing } = sending;
    this.searchNow.hidden = !(sending.searchable > 0) || phase === "done";
    if (phase === "done") return this.finish({ ...sending, refusedTotal: sending.refusedTotal, bad: Boolean(sending.trouble) });
    const searchable = sending.searchable ? say("arrive.searchable", { n: sending.searchable }) : "";
    if (phase === "sending" && sending.files.length) {
      const { files, left } = sending.pace();
      const text = sending.waitingFor ?? say("arrive.sending", { done: sending.sentFiles, n: sending.files.length, size: megabytes(sending.bytes), total: megabytes(sending.total), rate: files.toFixed(files < 10 ? 1 : 0), left: left === null ? "…" : lasting(left) });
      const importing = running && !FINISHED.includes(running.state) ? say("arrive.reading", { message: lineOf(running) }) : "";
      return this.say(sending.total ? sending.bytes / sending.total : 0, text, [sending.before ? say("arrive.here_before", { size: megabytes(sending.before) }) : "", importing, searchable].filter(Boolean).join(" "));
    }
    const job = running ?? (indexing && !FINISHED.includes(indexing.state) ? indexing : null);
    const text = running ? say("arrive.reading", { message: lineOf(running) }) : say("arrive.indexing", { message: job ? lineOf(job) : "…" });
    this.say(job?.progress ?? null, text, searchable);
  }

  finish({ added, known, refused, refusedTotal, trouble, bad = false, collection, byPath }) {
    this.doing.hidden = true;
    this.done.hidden = false;
    const told = added === undefined ? "" : `${say("arrive.added", { n: added })}${known ? ` ${say("arrive.known", { n: known })}` : ""}`;
    this.done.replaceChildren(
      el("div.row", {}, el("strong", { role: "status" }, told), added || known ? el("button.primary", { type: "button", onclick: () => this.tell("show", collection) }, say("arrive.show")) : ""),
      trouble ? el(bad ? "p.bad" : "p", { role: bad ? "alert" : null }, trouble) : "",
      refused.length
        ? el(
            "details",
            {},
            el("summary", {}, say("arrive.refused", { n: refusedTotal ?? refused.length })),
            el("ul", {}, refused.slice(0, LISTED).map((one) => el("li", {}, el("strong", {}, one.name ?? one.path), ` ${reasonOf(one)}`)), (refusedTotal ?? refused.length) > LISTED ? el("li.quiet", {}, say("arrive.more_refused")) : ""),
            byPath ? reopening(byPath, (job) => (tellOthers("jobs", collection), followImport(collection, job.id)), (error) => this.toast.say(error.message, { bad: true })) : "",
          )
        : "",
    );
    if (added) tellOthers("finished", collection); // there may be a collection that the sidebar does not know yet
  }
}

export default (component) => mount(component, Upload);
