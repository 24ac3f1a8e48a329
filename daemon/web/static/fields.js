// One field for each setting of the registry: what it is, its range, what it does where it is left out.
//
// `raw` is what a person has put in, as the draft keeps it; `value` is what is sent, undefined where nothing was changed.

import { button, element, worded } from "./parts.js";

const CHOICES = { rng: ["cpu", "nv"], layout: ["mosaic", "pages", "rgba"], proof: ["usual", "full", "none"] };
const BEHIND_TEXT = ["diffuse", "decode"];
const FROM = { model: "models", scheduler: "schedulers", schedule: "schedules", embedding: "embeddings", vae: "vaes" };

export function field(row, facts) {
  return makerOf(row, facts)(row, facts);
}

function makerOf(row, facts) {
  if (row.name === "loras") return loras;
  if (row.name === "hold") return stops;
  if (row.kind === "true or false") return check;
  if (row.kind.startsWith("whole number, or")) return steps;
  if (chosen(row, facts)) return select;
  return row.kind.includes("number") ? figure : line;
}

function nameOf(one) { return typeof one === "string" ? one : one.name; }

function chosen(row, facts) {
  if (row.name === "then") return facts.stages.map(nameOf);
  const options = CHOICES[row.name] ?? (FROM[row.name] && facts[FROM[row.name]]?.map(nameOf));
  return options?.length ? options : null;
}

export function label(name) { return name.replaceAll("_", " "); }

function usual(row, facts) {
  const said = facts.defaults?.[row.name] ?? row.neutral;
  return said === null || said === undefined || typeof said === "object" ? "" : String(said);
}

const LONG = 110;

// The first part of a long explanation, and the rest of it behind a word.
function helped(words, id) {
  const end = words.length > LONG ? words.search(/[.;:] /) : -1;
  if (end < 0) return element("p", { class: "help", id }, ...worded(words));
  const rest = element("details", {}, element("summary", {}, `${words.slice(0, end).replace(/[ ,.]+$/, "")} ...`), element("p", {}, ...worded(words.slice(end + 2))));
  return element("div", { class: "help", id }, rest);
}

function frame(row, input, ...more) {
  const id = `set-${row.name}`, help = helped(row.help, `${id}-help`), fault = element("p", { class: "fault", id: `${id}-fault`, hidden: "" });
  input.id = id;
  input.dataset.key = row.name;
  input.setAttribute("aria-describedby", `${id}-help ${id}-fault`);
  const bounds = [row.least, row.most].filter(Boolean).join(", ");
  const head = element("label", { for: id }, label(row.name), bounds ? element("span", {}, bounds) : null);
  return { root: element("div", { class: "field", "data-name": row.name }, head, input, ...more, help, fault), input, fault };
}

function simple(row, input, value) {
  const { root, fault } = frame(row, input);
  function read() {
    if (input.validity.badInput) refuse(row);
    return input.value.trim() ? value(input.value.trim()) : undefined;
  }
  return told({ row, root, input, fault, raw: () => input.value, put: (raw) => { input.value = raw ?? ""; }, value: read });
}

function refuse(row) { throw new Error(`${label(row.name)} is a ${row.kind}.`); }

function told(one) {
  one.complain = (sentence) => {
    one.fault.textContent = sentence;
    one.fault.hidden = !sentence;
    for (const input of one.root.querySelectorAll("input, select")) input.toggleAttribute("aria-invalid", Boolean(sentence));
  };
  return one;
}

function line(row, facts) {
  return simple(row, element("input", { type: "text", placeholder: usual(row, facts), autocomplete: "off", spellcheck: "false" }), (text) => text);
}

function figure(row, facts) {
  const whole = row.kind.startsWith("whole"), bound = (words) => /^(from|up to) (-?[\d.]+)$/.exec(words ?? "")?.[2];
  const step = row.name === "width" || row.name === "height" ? "8" : whole ? "1" : "any";
  const placeholder = usual(row, facts) || (row.name.endsWith("seed") ? "a new one" : "left out");
  const input = element("input", {
    type: "number", inputmode: whole ? "numeric" : "decimal", min: bound(row.least), max: bound(row.most), step, placeholder, autocomplete: "off",
  });
  return simple(row, input, (text) => (whole && /^[+-]?\d+$/.test(text) ? BigInt(text) : Number(text)));
}

function select(row, facts) {
  const left = usual(row, facts), options = chosen(row, facts).map((one) => element("option", { value: one }, one));
  const input = element("select", {}, element("option", { value: "" }, left ? `as usual: ${left}` : "as usual"), ...options);
  const made = simple(row, input, (text) => text);
  made.put = (raw) => {
    // What a recipe names and this place has not is still said, so that the refusal is about it and not a silent other one.
    if (raw && ![...input.options].some((one) => one.value === raw)) input.append(element("option", { value: raw }, raw));
    input.value = raw ?? "";
  };
  return made;
}

function check(row) {
  const input = element("input", { type: "checkbox" }), { root, fault } = frame(row, input);
  root.classList.add("check");
  const put = (raw) => { input.checked = raw === true || raw === "true"; };
  return told({ row, root, input, fault, raw: () => input.checked, put, value: () => (input.checked ? true : undefined) });
}

function steps(row) {
  const input = element("input", { type: "text", inputmode: "numeric", placeholder: "8, or 8, 12", autocomplete: "off" });
  return simple(row, input, (text) => {
    const found = text.replace(/^\[|\]$/g, "").split(/[\s,]+/).filter(Boolean);
    if (!found.every((one) => /^\d+$/.test(one))) throw new Error(`${label(row.name)} is a whole number, or several with commas between them.`);
    return found.length === 1 ? BigInt(found[0]) : found.map(BigInt);
  });
}

// The stages behind the text, before which a person may want to look.
function stops(row, facts) {
  const behind = facts.stages.map(nameOf).filter((name) => BEHIND_TEXT.includes(name));
  const boxes = behind.map((name) => [name, element("input", { type: "checkbox", id: `hold-${name}`, "data-key": `hold-${name}` })]);
  const group = element("div", { class: "boxes", role: "group" }, ...boxes.map(([name, box]) => element("label", { for: box.id }, box, `before ${name}`)));
  const { root, fault } = frame(row, group), head = root.querySelector("label");
  head.replaceWith(element("p", { class: "label", id: "set-hold-title" }, "hold"));
  group.setAttribute("aria-labelledby", "set-hold-title");
  const names = () => boxes.filter(([, box]) => box.checked).map(([name]) => name);
  const put = (raw) => { for (const [name, box] of boxes) box.checked = String(raw ?? "").includes(name); };
  const value = () => (names().length > 1 ? names() : names()[0]);
  return told({ row, root, input: boxes[0][1], fault, raw: names, put, value });
}

function loras(row, facts) {
  const names = (facts.loras ?? []).map(nameOf), rows = element("div", { class: "rows" });
  const add = button("Add a LoRA", "add-lora", () => { rows.append(one("", "1")); rows.lastChild.querySelector("select, input").focus(); tell(); });
  const { root, fault } = frame(row, add, rows);
  root.querySelector("label").removeAttribute("for");
  function tell() { root.dispatchEvent(new Event("input", { bubbles: true })); }
  function one(name, weight) {
    const options = [...new Set([...names, ...(name ? [name] : [])])].map((text) => element("option", { value: text }, text));
    const about = { "aria-label": "Name of the LoRA" };
    const pick = names.length ? element("select", about, ...options) : element("input", { ...about, type: "text", placeholder: "name" });
    if (name) pick.value = name;
    const away = button("\u00d7", "away", () => { made.remove(); add.focus(); tell(); }, { "aria-label": "Take this LoRA away", class: "round" });
    const weighs = element("input", { type: "text", inputmode: "decimal", value: weight, "aria-label": "Its weight, or two: text, denoiser" });
    const made = element("div", { class: "lora" }, pick, weighs, away);
    return made;
  }
  const raw = () => [...rows.children].map((made) => [...made.querySelectorAll("select, input")].map((input) => input.value));
  function put(said) {
    const pairs = Array.isArray(said) ? said : typeof said === "string" && said ? Object.entries(JSON.parse(said)) : [];
    rows.replaceChildren(...pairs.map(([name, weight]) => one(name, String(weight))));
  }
  function value() {
    const found = raw().filter(([name]) => name.trim());
    return found.length ? Object.fromEntries(found.map(([name, weight]) => [name.trim(), weights(weight)])) : undefined;
  }
  function weights(text) {
    const found = text.split(",").map((part) => (part.trim() ? Number(part) : NaN));
    if (found.some(Number.isNaN) || found.length > 2) throw new Error("A LoRA has a weight, or two with a comma between them: of the text, of the denoiser.");
    return found.length === 1 ? found[0] : found;
  }
  return told({ row, root, input: add, fault, raw, put, value });
}
