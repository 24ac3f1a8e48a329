// The form of a prompt: words, and the settings of the registry; only what was changed is sent, and a draft outlives the page.

import { knownFacts, post } from "./ask.js";
import { field, label } from "./fields.js";
import { button, byId, element } from "./parts.js";
import { say } from "./say.js";
import { remember, remembered } from "./store.js";

const OPEN = ["model", "scheduler", "width", "height", "steps", "guidance_scale", "seed", "count", "stop_at", "hold"];
const WORDS = ["prompt", "negative_prompt"], CUT = 2000, LONGEST_VALUE = 200, DRAFT = "draft";
let fields = null, making = null, wasSent = false;

export function promptDialog() {
  const form = element("form", { id: "prompt-form", novalidate: "" });
  form.append(
    element("div", { class: "head" }, element("h2", { id: "prompt-title" }, "New prompt"),
      button("\u00d7", "close", close, { "aria-label": "Close", class: "round" })),
    element("div", { class: "body" },
      said("prompt", "What shall it show?", element("textarea", { id: "prompt-words", rows: "4", placeholder: "a lighthouse in a storm, oil on canvas", "data-key": "prompt" })),
      said("negative", "What shall it not show?", element("textarea", { id: "prompt-negative", rows: "2", "data-key": "negative" }), "negative_prompt"),
      said("name", "Name of the file", element("input", { id: "prompt-name", type: "text", autocomplete: "off", spellcheck: "false", placeholder: "by the first words", "data-key": "name" })),
      half(),
      element("div", { id: "settings", class: "grid" }, element("p", { class: "none" }, "Reading the settings ...")),
      element("details", { id: "more" }, element("summary", {}, "More settings", element("span", { id: "more-set" })),
        element("label", { class: "sought" }, "Search the settings", element("input", { type: "search", id: "sought", autocomplete: "off" })),
        element("div", { id: "more-settings", class: "grid" }), element("p", { class: "none", id: "sought-none", hidden: "" }, "No setting of that name."))),
    element("div", { class: "foot" }, element("p", { id: "changed", class: "facts" }), element("p", { id: "refused", class: "fault", role: "alert" }),
      element("div", { class: "acts" }, element("button", { type: "submit", class: "first", "data-key": "make" }, "Make it"), button("Start afresh", "clear", clear))));
  form.addEventListener("submit", (event) => { event.preventDefault(); make(); });
  form.addEventListener("input", changed);
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    make();
  });
  form.querySelector("#sought").addEventListener("input", seek);
  return element("dialog", { id: "prompt", "aria-labelledby": "prompt-title" }, form);
}

function said(key, text, input, setting) {
  return element("div", { class: "field", "data-name": setting ?? key }, element("label", { for: input.id }, text), input, element("p", { class: "fault", hidden: "" }));
}

// What the loop is stopped for most: with it a person need not know which setting that is.
function half() {
  const box = element("input", { type: "checkbox", id: "half", "data-key": "half" });
  box.addEventListener("input", () => {
    const steps = fields?.get("steps"), count = Number(steps?.raw() || steps?.input.placeholder) || 20;
    fields?.get("stop_at")?.put(box.checked ? String(Math.max(1, Math.round(count / 2))) : "");
  });
  return element("div", { class: "field check", id: "half-way" }, box, element("label", { for: "half" }, "Stop half-way, to paint on it"),
    element("p", { class: "help" }, "It then waits for you with a picture of how it would be; paint on that, and let it go on."));
}

export async function openPrompt() {
  const dialog = byId("prompt");
  if (!dialog.open) dialog.showModal();
  byId("prompt-words").focus();
  // What was sent is written over by the next words; what was not is gone on with.
  if (wasSent) byId("prompt-words").select();
  await filled();
  dialog.querySelector(".body").scrollTop = 0;
}

function close() { byId("prompt").close(); }

// --- the settings

function filled() {
  making ??= fill().catch((error) => { making = null; refuse(error.message); });
  return making;
}

async function fill() {
  const facts = await knownFacts();
  const rows = facts.settings.filter((row) => row.counts.includes("a prompt") && !WORDS.includes(row.name));
  const open = OPEN.map((name) => rows.find((row) => row.name === name)).filter(Boolean), others = rows.filter((row) => !OPEN.includes(row.name));
  fields = new Map([...open, ...others].map((row) => [row.name, field(limited(row, facts.limits), facts)]));
  byId("settings").replaceChildren(...open.map((row) => fields.get(row.name).root));
  byId("more-settings").replaceChildren(...others.map((row) => fields.get(row.name).root));
  restore(remembered(DRAFT, {}));
}

// What the configuration bounds, where the setting itself has no bound.
function limited(row, limits) { return row.most || !limits?.[row.name] ? row : { ...row, most: `up to ${limits[row.name]}` }; }

function seek() {
  const words = byId("sought").value.toLowerCase().split(/[\s_]+/).filter(Boolean);
  let found = 0;
  for (const one of byId("more-settings").children) {
    const { row } = fields.get(one.dataset.name), text = [row.name.replaceAll("_", " "), row.help, ...row.aliases, row.infotext ?? ""].join(" ").toLowerCase();
    one.hidden = !words.every((word) => text.includes(word));
    if (!one.hidden) found += 1;
  }
  byId("sought-none").hidden = found > 0;
}

// --- the draft

function changed(event) {
  if (event?.target.id === "sought") return;
  wasSent = false;
  remember(DRAFT, draft());
  tell();
}

function draft() {
  const values = Object.fromEntries([...(fields ?? [])].map(([name, one]) => [name, one.raw()]).filter(([, raw]) => raw && raw.length !== 0));
  return { prompt: byId("prompt-words").value, negative: byId("prompt-negative").value, name: byId("prompt-name").value, values };
}

function restore(kept) {
  byId("prompt-words").value = kept.prompt ?? "";
  byId("prompt-negative").value = kept.negative ?? "";
  byId("prompt-name").value = kept.name ?? "";
  for (const [name, one] of fields ?? []) one.put(kept.values?.[name]);
  tell();
}

function clear() {
  restore({});
  remember(DRAFT, {});
  refuse("");
  byId("prompt-words").focus();
}

function tell() {
  complain();
  byId("half").checked = Boolean(fields?.get("stop_at")?.raw());
  const { settings } = read({}), names = Object.keys(settings), more = names.filter((name) => !OPEN.includes(name) && name !== "negative_prompt");
  byId("changed").textContent = names.length ? `Changed: ${names.map((name) => `${label(name)} ${worth(settings[name])}`).join(", ")}.` : "All settings as usual.";
  byId("more-set").textContent = more.length ? ` \u00b7 ${more.length} set` : "";
}

function worth(value) {
  const isNames = value && typeof value === "object" && !Array.isArray(value);
  const text = isNames ? Object.entries(value).map(([name, weight]) => `${name} ${weight}`).join(", ") : [value].flat().join(", ");
  return text.length > 40 ? `${text.slice(0, 40)}...` : text;
}

// --- sending it

// What is to be sent; what cannot be is put into `faults`, by the name of its setting.
function read(faults) {
  const settings = {}, negative = byId("prompt-negative").value.trim();
  if (negative) settings.negative_prompt = negative;
  for (const [name, one] of fields ?? []) {
    try {
      const value = one.value();
      if (value !== undefined) settings[name] = value;
    } catch (error) {
      faults[name] = error.message;
    }
  }
  return { name: byId("prompt-name").value.trim(), prompt: byId("prompt-words").value.trim(), settings };
}

let busy = false;
async function make() {
  if (busy) return;
  await filled();
  const faults = {}, asked = read(faults);
  refuse("");
  complain();
  for (const [name, sentence] of Object.entries(faults)) fields.get(name).complain(sentence);
  if (Object.keys(faults).length) return focusOn(Object.keys(faults)[0]);
  busy = true;
  try {
    const { said: sentence } = await post("prompts", asked);
    wasSent = true;
    close();
    say(`${sentence}. It shows here while it runs, and when it is done`);
  } catch (error) {
    beside(error.message);
  } finally {
    busy = false;
  }
}

// The refusal stands beside the field that it names, else at the end of the form.
function beside(sentence) {
  const at = (name) => sentence.search(new RegExp(`(?<![a-z_])${name}(?![a-z_])`));
  const named = [...fields.keys()].filter((name) => at(name) >= 0).sort((one, other) => at(one) - at(other))[0];
  refuse(sentence);
  if (!named) return;
  fields.get(named).complain(sentence);
  focusOn(named);
}

function focusOn(name) {
  const one = fields.get(name);
  if (!OPEN.includes(name)) byId("more").open = true;
  one.input.focus();
  one.root.scrollIntoView({ block: "center" });
}

function complain() { for (const one of fields?.values() ?? []) one.complain(""); }

function refuse(sentence) { byId("refused").textContent = sentence; }

// --- the recipe of a picture once more

export async function reuse(entry) {
  await openPrompt();
  const recipe = Object.fromEntries(entry.settings || []);
  const values = Object.fromEntries(Object.entries(recipe).filter(([name, raw]) => fields?.has(name) && raw.length < LONGEST_VALUE));
  restore({ prompt: entry.prompt, negative: recipe.negative_prompt ?? "", name: entry.job ?? "", values });
  remember(DRAFT, draft());
  if (entry.prompt.length > CUT) refuse("This prompt is longer than the page tells; the end of it is missing. Drop the picture itself onto the page to have all of it.");
}
