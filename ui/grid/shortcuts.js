// The list of shortcuts that "?" opens.

/** `lines` are [keys, what they do]. */
function shortcuts(root, lines) {
  const dialog = el(
    "dialog.shortcuts",
    { "aria-label": say("board.shortcuts"), onclose: () => dialog.remove() },
    el("h2", {}, say("board.shortcuts")),
    el("dl", {}, lines.map(([keys, what]) => [el("dt", {}, keys.split(" ").map((k) => [el("kbd", {}, k), " "])), el("dd", {}, what)])),
    el("form", { method: "dialog" }, el("button", {}, say("common.close"))),
  );
  keepKeys(dialog);
  root.append(dialog);
  dialog.showModal();
}
