// What the page gains where a server gives it out: buttons, the board, prompts, files, and news at once.

import { forget, how, resume } from "./acts.js";
import { boardShown, columnLinks, drawBoard, newBoard, toggleBoard, viewSwitch } from "./board.js";
import { dropTargets, fileButton, pickFiles, takeDrops } from "./drops.js";
import { keepFocus } from "./focus.js";
import { helpDialog, listen } from "./keys.js";
import { connection, follow, isLive } from "./live.js";
import { button, byId, element } from "./parts.js";
import { openPrompt, promptDialog } from "./prompt.js";
import { sayer } from "./say.js";
import { uploads } from "./uploads.js";

function tools() {
  const help = () => byId("help").showModal();
  return element("div", { id: "tools" },
    button("New prompt", "new", () => openPrompt(), { class: "first", "aria-keyshortcuts": "n" }), fileButton(), viewSwitch(),
    button("?", "help", help, { "aria-label": "Keys and help", "aria-keyshortcuts": "?", class: "round" }));
}

function title(data) {
  const bar = data.entries.running.find((entry) => entry.steps);
  if (bar) document.title = `${Math.floor((100 * bar.step) / bar.steps)} % \u00b7 ${document.title}`;
}

function rendered(data, found) {
  forget(data);
  drawBoard(data, found);
  keepFocus();
  title(data);
}

byId("search").before(tools());
byId("sections").after(columnLinks());
byId("told").before(connection());
byId("main").after(newBoard());
document.body.append(element("div", { id: "corner" }, uploads(), sayer()), promptDialog(), dropTargets(), helpDialog());
Object.defineProperty(globalThis, "tiffsdWeb", {
  value: Object.freeze({ how, resume, rendered, isLive, follows: "This page follows what happens." }),
});
boardShown();
globalThis.tiffsdPage.rebuild();
takeDrops();
follow();
listen({ n: () => openPrompt(), f: pickFiles, b: toggleBoard, "?": () => byId("help").showModal() });
