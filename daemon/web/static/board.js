// The stages side by side: what runs, waits for a person, has failed or waits its turn in each, and the switches of each.

import { how } from "./acts.js";
import { post } from "./ask.js";
import { arrange, button, byId, element, exchange, number, picture, progress, prompt, time } from "./parts.js";
import { remember, remembered } from "./store.js";
import { say } from "./say.js";

const ALWAYS = ["text", "diffuse", "decode"], ORDER = ["running", "held", "failed", "waiting"], AT_ONCE = 24, PICTURES = 12, SETTLES_MS = 4000;
const TITLES = { text: "Text", diffuse: "Diffuse", decode: "Decode", encode: "Encode", invert: "Invert", pictures: "Pictures" };
const DOES = {
  text: "prompt to noise and embedding", diffuse: "noise to latents", decode: "latents to a picture", encode: "a picture to latents",
  invert: "latents back to noise", pictures: "finished today",
};
const KINDS = { running: "running", held: "waits for you", failed: "failed", waiting: "waiting", done: "" };
const columns = new Map();
let told = null;

export function columnLinks() { return element("nav", { id: "columns", "aria-label": "Stages", hidden: "" }); }

export function newBoard() {
  const board = element("main", { id: "board", hidden: "", "aria-label": "Board of the stages" });
  board.addEventListener("keydown", walk);
  return board;
}

// --- list or board

export function viewSwitch() {
  const one = (text, board) => button(text, text, () => show(board), { "data-board": String(board) });
  return element("div", { id: "view", role: "group", "aria-label": "View" }, one("List", false), one("Board", true));
}

export function toggleBoard() { show(byId("board").hidden); }

function show(board) {
  remember("board", board);
  boardShown();
  if (told) drawBoard(...told);
  scrollTo(0, 0);
}

export function boardShown() {
  const board = remembered("board", false);
  document.documentElement.toggleAttribute("data-board", board);
  byId("board").hidden = !board;
  byId("main").hidden = board;
  byId("sections").hidden = board;
  byId("columns").hidden = !board;
  for (const one of byId("view").children) one.setAttribute("aria-pressed", String(one.dataset.board === String(board)));
  document.querySelector(".skip").setAttribute("href", board ? "#board" : "#held");
}

// --- columns

export function drawBoard(data, found) {
  told = [data, found];
  if (byId("board").hidden) return;
  const stages = Object.fromEntries(data.stages.map((stage) => [stage.name, stage])), by = sorted(found, stages);
  const others = data.stages.map((stage) => stage.name).filter((name) => !ALWAYS.includes(name) && isThere(stages[name], by[name]));
  const names = [...ALWAYS.filter((name) => stages[name]), "pictures", ...others];
  arrange(byId("board"), names.map((name) => drawn(name, stages[name], by[name] ?? [], data)));
  arrange(byId("columns"), names.map((name) => columns.get(name).link));
}

function isThere(stage, entries) { return entries?.length || stage.waiting || stage.held || stage.failed || stage.paused || stage.gated; }

// Paint that is put into latents runs as no stage; it is about latents that wait before one.
function sorted(found, stages) {
  const by = { pictures: found.done };
  for (const kind of ORDER) for (const entry of found[kind]) (by[stages[entry.stage] ? entry.stage : "diffuse"] ??= []).push(entry);
  return by;
}

function drawn(name, stage, entries, data) {
  if (!columns.has(name)) columns.set(name, newColumn(name));
  const column = columns.get(name), most = name === "pictures" ? PICTURES : AT_ONCE, before = column.cards;
  column.cards = new Map();
  for (const entry of entries.slice(0, most)) column.cards.set(`${entry.path} ${entry.name}`, card(entry, before));
  arrange(column.list, [...column.cards.values()].map((one) => one.root));
  column.none.hidden = entries.length > 0;
  column.rest.hidden = entries.length <= most;
  column.rest.textContent = `${number(entries.length - most)} more are in the list.`;
  const counts = stage ? counted(stage, entries) : number(data.counts.done);
  if (column.counts.textContent !== counts) column.counts.textContent = counts;
  column.link.lastChild.textContent = number(stage ? entries.length : data.counts.done);
  column.link.toggleAttribute("data-calls", Boolean(stage && (stage.held || stage.failed)));
  if (stage) for (const one of column.switches) one.draw(stage, data.alive);
  column.root.toggleAttribute("data-paused", Boolean(stage?.paused));
  return column.root;
}

function counted(stage, entries) {
  const runs = entries.filter((entry) => entry.kind === "running").length;
  const said = [[runs, "running"], [stage.held, "held"], [stage.failed, "failed"], [stage.waiting, "waiting"]];
  const words = said.filter(([count]) => count).map(([count, word]) => `${number(count)} ${word}`).join(", ") || "empty";
  return stage.paused ? `paused, ${words}` : words;
}

function newColumn(name) {
  const counts = element("p", { class: "counts" }), list = element("div", { class: "cards" });
  const none = element("p", { class: "none" }, name === "pictures" ? "No picture was finished today." : ""), rest = element("p", { class: "rest", hidden: "" });
  const switches = name === "pictures" ? [] : [restSwitch(name), gateSwitch(name)];
  const fault = element("p", { class: "fault", role: "alert", hidden: "" });
  const head = element("div", { class: "head" }, element("h2", { id: `stage-${name}` }, TITLES[name] ?? name), element("p", { class: "does" }, DOES[name] ?? ""), counts,
    switches.length ? element("div", { class: "switches" }, ...switches.map((one) => one.root)) : null, fault);
  const root = element("section", { class: "column", "data-stage": name, tabindex: "-1", "aria-labelledby": `stage-${name}` }, head, list, none, rest);
  const link = element("a", { href: `#stage-${name}` }, TITLES[name] ?? name, element("b"));
  return { root, link, counts, list, none, rest, switches, cards: new Map() };
}

// --- switches

function restSwitch(name) {
  return onOff(name, "Takes work", "Off: nothing is taken from its inbox; what runs goes on.", (stage) => !stage.paused, (on) => (on ? "resume" : "pause"));
}

function gateSwitch(name) {
  return onOff(name, "Gate", "On: what comes for this stage waits until somebody lets it go on.", (stage) => stage.gated, (on) => (on ? "gate_on" : "gate_off"));
}

// It shows at once what was asked for, and then what the daemon says; with none there, what was asked for stays.
function onOff(name, words, about, isOn, act) {
  const root = button(words, words, () => flip(), { role: "switch", class: "switch", title: about });
  let on = null, said = null, asked = null;
  function put(now) {
    if (on !== now) root.setAttribute("aria-checked", String(now));
    on = now;
  }
  function draw(stage, alive) {
    said = isOn(stage);
    if (asked !== null && said !== asked) return;
    asked = null;
    put(said);
    root.dataset.alive = String(alive);
  }
  function settle() {
    if (asked === null || root.dataset.alive !== "true") return;
    asked = null;
    put(said);
  }
  async function flip() {
    const before = on, fault = root.closest(".head").querySelector(".fault");
    fault.hidden = true;
    asked = !before;
    put(asked);
    try {
      say((await post("acts", { act: act(!before), stage: name })).said);
      setTimeout(settle, SETTLES_MS);
    } catch (error) {
      asked = null;
      put(before);
      fault.textContent = error.message;
      fault.hidden = false;
    }
  }
  return { root, draw };
}

// --- cards

function card(entry, before) {
  const text = JSON.stringify(entry), old = before.get(`${entry.path} ${entry.name}`);
  if (old?.text === text) return old;
  const root = newCard(entry);
  if (old) exchange(old.root, root);
  return { text, root };
}

function newCard(entry) {
  const state = entry.kind === "held" ? entry.reason : entry.kind === "waiting" ? entry.reason : "";
  const line = element("p", { class: "state" }, element("b", {}, KINDS[entry.kind]), ...(KINDS[entry.kind] ? [" \u00b7 "] : []), time(entry.since));
  const said = entry.kind === "failed" ? element("p", { class: "sentence" }, entry.reason) : state ? element("p", { class: "facts" }, state) : null;
  const name = entry.job || entry.name, title = element("h3", {}, element("bdi", {}, name));
  const about = { class: "card", "data-kind": entry.kind, tabindex: "0", "aria-label": `${name}, ${KINDS[entry.kind] || "finished"}` };
  return element("article", about, picture(entry), element("div", { class: "words" }, title, line, said, prompt(entry), progress(entry), how(entry)));
}

// --- by arrows

function walk(event) {
  const by = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] }[event.key];
  if (!by || event.target.matches("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const lists = [...byId("board").children].map((column) => [...column.querySelectorAll(".card")]).filter((list) => list.length);
  const here = event.target.closest(".card");
  const x = lists.findIndex((list) => list.includes(here));
  if (x < 0) return;
  const column = lists[(x + by[0] + lists.length) % lists.length];
  const next = column[Math.min(lists[x].indexOf(here) + by[1], column.length - 1)];
  if (!next) return;
  event.preventDefault();
  next.focus();
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
}
