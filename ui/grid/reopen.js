// Files that were refused stay refused while they are as they were; a person may have them opened all the same.

/** Beside the refused files of an import by path: import it again, them too. `begun` gets the job, `failed` an error. */
function reopening(job, begun, failed) {
  const open = async () => {
    button.disabled = true;
    try {
      begun(await post(of(job.collection, "imports"), { ...job.params, retry: true }));
    } catch (error) {
      button.disabled = false;
      failed(error);
    }
  };
  const button = el("button", { type: "button", onclick: open }, say("arrive.open_again"));
  return el("div.row", {}, button, el("span.quiet.small", {}, say("arrive.open_again_when")));
}
