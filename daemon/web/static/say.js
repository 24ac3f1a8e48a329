// What an act has led to, in one sentence at the edge of the page; a screen reader says it too.

import { button, byId, element } from "./parts.js";

const STAYS_MS = 9000;
let leaves = 0;

export function sayer() {
  const words = element("p", { id: "said", role: "status", "aria-live": "polite" });
  const away = button("\u00d7", "away", hush, { "aria-label": "Take this sentence away" });
  return element("div", { id: "saying", hidden: "" }, words, away);
}

export function say(sentence) {
  byId("said").textContent = sentence.charAt(0).toUpperCase() + sentence.slice(1);
  byId("saying").hidden = false;
  clearTimeout(leaves);
  leaves = setTimeout(hush, STAYS_MS);
}

function hush() {
  if (byId("saying").contains(document.activeElement)) byId("words").focus({ preventScroll: true });
  byId("saying").hidden = true;
}
