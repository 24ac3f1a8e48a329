// What a person may do with one entry, as buttons in the place of the page's commands.
//
// An entry is drawn anew whenever it says something else, so what its buttons have come to is kept here, by the link to it.

import { post } from "./ask.js";
import { button, element } from "./parts.js";
import { reuse } from "./prompt.js";
import { say } from "./say.js";

const GOES = new Set(["release", "apply", "retry", "cancel", "hold"]);
const states = new Map(), drawn = new WeakMap();

function keyOf(entry) { return entry.link ?? entry.path; }

export function how(entry) {
  const key = keyOf(entry), text = entry.kind === "running" ? "" : JSON.stringify(entry);
  if (states.has(key) && states.get(key).text !== text) states.delete(key);
  const root = element("div", { class: "acts", "data-of": key });
  drawn.set(root, { entry, key, text });
  fill(root);
  return root;
}

// What has gone is forgotten, so that another file of the same name begins afresh.
export function forget(data) {
  const here = new Set(Object.values(data.entries).flat().map(keyOf));
  for (const key of states.keys()) if (!here.has(key)) states.delete(key);
}

function change(key, text, state) {
  states.set(key, { text, ...state });
  for (const root of document.querySelectorAll(".acts")) if (root.dataset.of === key) fill(root);
}

function fill(root) {
  const { entry, key } = drawn.get(root), state = states.get(key) ?? {};
  const inside = root.contains(document.activeElement), had = inside ? document.activeElement.dataset.key : "";
  const came = state.said && element("p", { class: "came", tabindex: "-1", "data-key": "came" }, state.said);
  const offered = came ? [came] : OFFERS[entry.kind](entry, offer(root, state), state);
  root.replaceChildren(...offered.filter(Boolean));
  if (state.fault) root.append(element("p", { class: "fault", role: "alert" }, state.fault));
  if (inside) (root.querySelector(`[data-key="${CSS.escape(had)}"]`) ?? root.querySelector("[data-key]"))?.focus({ preventScroll: true });
}

// Buttons are never disabled, which would take the focus away; one that is at work does nothing more.
function offer(root, state) {
  return (text, act, attributes = {}) => button(state.busy === act ? `${text} ...` : text, act, () => run(root, act), { "aria-disabled": state.busy ? "true" : null, ...attributes });
}

async function run(root, act, more = {}) {
  const { entry, key, text } = drawn.get(root);
  if (states.get(key)?.busy) return;
  change(key, text, { busy: act });
  try {
    const { said } = await post("acts", { act, link: entry.link, ...more });
    say(said);
    change(key, text, GOES.has(act) ? { said } : more);
  } catch (error) {
    change(key, text, { fault: error.message });
  }
}

const OFFERS = {
  held: (entry, act) => [
    act("Let it go on", "release", { class: "first" }),
    entry.paint && element("a", { class: "button", href: `painter?path=${entry.link}`, "data-key": "paint" }, "Paint"),
    entry.painted && act("Take the paint", "apply"),
    entry.painted && element("p", {}, "Somebody painted on the proof; the picture shows what that leads to. Letting it go on takes the paint along."),
  ],
  running: (entry, act, state) => state.asking ? asked(entry, act) : [button("Cancel", "cancel", (event) => ask(event, true))],
  failed: (entry, act) => [
    // What another place takes would only fail here once more; the sentence says which place.
    entry.command && act("Try again", "retry", { class: "first" }),
    entry.stage === "text" && entry.prompt ? button("Change it", "reuse", () => reuse(entry)) : null,
    element("a", { href: entry.link, "data-key": "files" }, "Its files"),
    element("a", { href: entry.report, "data-key": "report" }, "Report"),
  ],
  waiting: (entry, act, state) => [act("Hold", "hold"), entry.stage && priority(entry, state)],
  done: (entry) => entry.prompt ? [button("Use again", "reuse", () => reuse(entry))] : [],
};

// A stage that rests is said above the list, with what ends its rest.
export function resume(stage) {
  return button("Let it work", `resume ${stage.name}`, async (event) => {
    try {
      say((await post("acts", { act: "resume", stage: stage.name })).said);
    } catch (error) {
      event.target.after(element("span", { class: "fault", role: "alert" }, ` ${error.message}`));
    }
  });
}

function ask(event, asking) {
  const root = event.target.closest(".acts"), { key, text } = drawn.get(root);
  change(key, text, { asking });
}

function asked(entry, act) {
  return [
    element("p", {}, "Cancel it? Its files go to failed/, nothing is lost."),
    act("Yes, cancel it", "cancel", { class: "first" }),
    button("Let it run", "keep", (event) => ask(event, false)),
  ];
}

// It is known where the file itself says it, or where it was given here; a settings file beside it is not told of.
function priority(entry, state) {
  const value = state.priority ?? Object.fromEntries(entry.settings || []).priority ?? "";
  const field = element("input", { type: "number", min: "-100", max: "100", step: "1", value, placeholder: "0", "data-key": "priority" });
  field.addEventListener("change", () => {
    const root = field.closest(".acts"), { key, text } = drawn.get(root), number = field.valueAsNumber;
    if (field.value === "" && !field.validity.badInput) return;
    if (Number.isInteger(number)) run(root, "prioritise", { priority: number });
    else change(key, text, { fault: "Priority is a whole number, -100 to 100." });
  });
  return element("label", { class: "priority" }, "Priority", field);
}
