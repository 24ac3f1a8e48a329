// Files on their way to the server, one after the other, each with its progress and what came of it.

import { GONE, guarded, sentenceOf } from "./ask.js";
import { button, element } from "./parts.js";

const tray = element("section", { id: "uploads", "aria-label": "Files on their way", hidden: "" });
const list = element("ul"), waiting = [];
const STAYS_MS = 12000;
let busy = false;

export function uploads() {
  const away = button("\u00d7", "away", () => clear((row) => row.dataset.state !== "going"), { "aria-label": "Take away what has arrived" });
  tray.append(element("h2", {}, "Files"), away, list);
  return tray;
}

function clear(ends) {
  for (const row of [...list.children]) if (ends(row)) row.remove();
  tray.hidden = !list.children.length;
}

export function send(files, stage) {
  for (const file of files) {
    const bar = element("progress", { max: 1, value: 0, "aria-label": `Progress of ${file.name}` }), words = element("p", { class: "facts", role: "status" }, `to ${stage.folder}`);
    const row = element("li", { "data-state": "going" }, element("bdi", {}, file.name), bar, words);
    list.append(row);
    waiting.push({ file, stage, bar, words, row });
  }
  tray.hidden = false;
  if (!busy) work();
}

async function work() {
  busy = true;
  for (let one = waiting.shift(); one; one = waiting.shift()) {
    try {
      one.words.textContent = await sent(one);
      one.row.dataset.state = "there";
      setTimeout(() => clear((row) => row === one.row), STAYS_MS);
    } catch (error) {
      one.row.dataset.state = "refused";
      one.words.textContent = error.message;
    }
    one.bar.remove();
  }
  busy = false;
}

// The way of old, since only it tells how much of a file has gone.
function sent({ file, stage, bar }) {
  return new Promise((done, refused) => {
    const request = new XMLHttpRequest();
    request.open("POST", `drops/${encodeURIComponent(stage.name)}?name=${encodeURIComponent(file.name)}`);
    for (const [name, value] of Object.entries(guarded())) request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) bar.value = event.loaded / event.total; });
    request.addEventListener("error", () => refused(new Error(GONE)));
    request.addEventListener("load", () => {
      if (request.status >= 400) return refused(new Error(sentenceOf(request.status, request.responseText)));
      done(JSON.parse(request.responseText).said);
    });
    request.send(file);
  });
}
