// Asks a run to stop. While another cell blocks the kernel no handler of a button runs, so the
// request does not go through the kernel: it is a file beside the run, written by the server's
// contents service. If there is no such service (or it refuses), a message to the kernel does it.

const SECONDS_UNTIL_ASKED_AGAIN = 10;
const gone = () => `The kernel of this panel is gone. What stands here is as of ${
  new Date().toLocaleTimeString()} at the latest, and the buttons do nothing. A run goes on: run this `
  + "cell again to follow it.";

function serverSettings() {
  const element = document.getElementById("jupyter-config-data");
  try {
    return element ? JSON.parse(element.textContent) : null;
  } catch {
    return null;
  }
}

function cookie(name) {
  const found = document.cookie.split("; ").find((item) => item.startsWith(name + "="));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}

async function writeStopFile(path) {
  const settings = serverSettings();
  if (!path || !settings || !settings.baseUrl) return false;
  const headers = { "Content-Type": "application/json", "X-XSRFToken": cookie("_xsrf") };
  if (settings.token) headers.Authorization = `token ${settings.token}`;
  const url = settings.baseUrl.replace(/\/?$/, "/") + "api/contents/"
    + path.split("/").map(encodeURIComponent).join("/");
  const body = JSON.stringify({ type: "file", format: "text", content: "stop\n" });
  try {
    const answer = await fetch(url, { method: "PUT", headers, body, credentials: "same-origin" });
    return answer.ok;
  } catch {
    return false;
  }
}

function render({ model, el }) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "rtdetr-stop jupyter-button widget-button mod-danger";
  button.textContent = "Stop";
  const note = document.createElement("span");
  note.className = "rtdetr-stop-note";
  note.setAttribute("role", "status");

  let waiting;

  const show = () => {
    clearTimeout(waiting);
    button.disabled = !model.get("enabled");
    note.textContent = "";
  };
  // A step may be long, and a request may be lost: a person who asked can ask again.
  const offerAgain = () => {
    show();
    if (!button.disabled) note.textContent = "It has not stopped yet; you can ask again.";
  };
  button.addEventListener("click", async () => {
    const run = model.get("run_token");
    button.disabled = true;
    note.textContent = "Asking the run to stop after this step…";
    clearTimeout(waiting);
    waiting = setTimeout(offerAgain, 1000 * SECONDS_UNTIL_ASKED_AGAIN);
    const written = await writeStopFile(model.get("stop_path"));
    // A message waits where the kernel is blocked; with the token it cannot stop a later run.
    if (!written) model.send({ kind: "stop", run_token: run });
  });
  // Widgets mark a view whose kernel is gone, in an order among listeners that is not promised.
  const lookForKernel = () => setTimeout(() => {
    if (!el.closest(".jupyter-widgets-disconnected")) return;
    clearTimeout(waiting);
    note.textContent = gone();
  });
  const listeners = [["change:enabled", show], ["change:run_token", show],
                     ["comm_live_update", lookForKernel]];
  for (const [event, act] of listeners) model.on(event, act);
  el.append(button, note);
  show();
  return () => {
    clearTimeout(waiting);
    for (const [event, act] of listeners) model.off(event, act);
  };
}

export default { render };
