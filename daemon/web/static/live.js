// The server says when index.js is another one; while it cannot, the page looks by itself every few seconds, as it does without one.

import { GONE, knownFacts, forgetFacts } from "./ask.js";
import { byId, element } from "./parts.js";

const AGAIN_MS = 3000;
let live = false;

export function isLive() { return live; }

export function connection() { return element("p", { id: "connection", role: "status", hidden: "" }); }

export function follow() {
  const events = new EventSource("events");
  events.addEventListener("open", () => tell(true, ""));
  // It comes at the start too, so nothing is missed between two streams.
  events.addEventListener("changed", () => globalThis.tiffsdPage.read());
  events.addEventListener("error", async () => {
    tell(false, "The connection is lost, trying again ...");
    if (events.readyState !== EventSource.CLOSED) return;
    // It gives up where it is answered with a refusal, whose sentence no event tells.
    setTimeout(follow, AGAIN_MS);
    forgetFacts();
    await knownFacts().catch((error) => { if (error.message !== GONE) tell(false, error.message); });
  });
}

function tell(isLiveNow, words) {
  live = isLiveNow;
  byId("connection").textContent = words;
  byId("connection").hidden = !words;
  document.documentElement.toggleAttribute("data-lost", !live);
}
