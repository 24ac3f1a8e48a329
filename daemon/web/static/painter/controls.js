/* What is set by hand: the tool, the brush, its colour; and the keys that do the same. */

import { PANELS } from "./easel.js";

const LARGEST = 512, MOST_RECENT = 8;
const TOOLS = { b: "paint", e: "erase", n: "noise", v: "value", c: "copy" };
const IS_HARD = new Set(["noise"]);

const find = (id) => document.getElementById(id);
const slide = (size) => Math.round(100 * Math.log(size) / Math.log(LARGEST));
const size = (at) => Math.round(LARGEST ** (at / 100));
const hex = (colour) => `#${colour.map((level) => level.toString(16).padStart(2, "0")).join("")}`;
const levels = (text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));

export class Controls {
  constructor(easel, { changed }) {
    Object.assign(this, { easel, brush: easel.brush, changed, recent: [] });
    this.bind();
    this.show();
    easel.picked = (where) => {
      if (where === PANELS) this.brush.value = Math.min(4, Math.max(-4, this.brush.value));
      this.show();
    };
  }

  bind() {
    const { brush } = this;
    const set = (id, name, read) => find(id).addEventListener("input", (event) => {
      brush[name] = read(event.target);
      this.show();
    });
    set("size", "size", ({ value }) => size(Number(value)));
    set("hardness", "hardness", ({ value }) => Number(value));
    set("opacity", "opacity", ({ value }) => Number(value));
    set("value", "value", ({ value }) => Number(value));
    set("colour", "colour", ({ value }) => levels(value));
    set("size-by", "sizeByPressure", ({ checked }) => checked);
    set("opacity-by", "opacityByPressure", ({ checked }) => checked);
    find("seed").addEventListener("change", ({ target }) => {
      brush.seed = Math.min(4294967295, Math.max(0, Math.round(Number(target.value)))) || 0;
      this.easel.strokes = 0;
      this.show();
    });
    this.choices("tool", (value) => this.choose(value));
    this.choices("panels", (value) => { brush.everyPanel = value === "all"; });
  }

  choices(name, work) {
    for (const radio of document.querySelectorAll(`[name=${name}]`)) radio.addEventListener("change", () => work(radio.value));
  }

  choose(tool) {
    this.brush.tool = tool;
    find("settings").scrollTop = 0;
    this.show();
  }

  /** The colour of the stroke that was just drawn is one of the recent ones. */
  used() {
    if (this.brush.tool !== "paint") return;
    const text = hex(this.brush.colour);
    if (this.recent[0] === text) return;
    this.recent = [text, ...this.recent.filter((other) => other !== text)].slice(0, MOST_RECENT);
    find("recent").replaceChildren(...this.recent.map((colour) => {
      const button = document.createElement("button");
      button.style.backgroundColor = colour;
      button.setAttribute("aria-label", `Colour ${colour}`);
      button.title = colour;
      button.addEventListener("click", () => {
        this.brush.colour = levels(colour);
        this.show();
      });
      return button;
    }));
  }

  show() {
    const { brush, easel } = this;
    find("size").value = slide(brush.size);
    find("size-told").value = `${brush.size} px`;
    for (const name of ["hardness", "opacity"]) {
      find(name).value = brush[name];
      find(`${name}-told`).value = `${brush[name]} %`;
    }
    find("value").value = brush.value;
    const own = easel.latents.deviation === 1 ? "" : ` (${(brush.value * easel.latents.deviation).toFixed(2)} in the file)`;
    find("value-told").value = `${brush.value.toFixed(2).replace("-", "\u2212")}${own}`;
    find("seed").value = brush.seed;
    find("colour").value = hex(brush.colour);
    for (const radio of document.querySelectorAll("[name=tool]")) radio.checked = radio.value === brush.tool;
    for (const field of document.querySelectorAll("[data-for]")) field.hidden = field.dataset.for !== brush.tool;
    for (const field of document.querySelectorAll("[data-soft]")) field.hidden = IS_HARD.has(brush.tool);
    this.changed();
  }

  /** What a key does; whether it does anything. */
  key(event) {
    const { brush } = this, key = event.key.toLowerCase();
    if (TOOLS[key]) {
      if (!document.querySelector(`[name=tool][value=${TOOLS[key]}]`).disabled) this.choose(TOOLS[key]);
    } else if ("[]".includes(key)) {
      const larger = Math.max(brush.size + 1, Math.round(brush.size * 1.2)), smaller = Math.min(brush.size - 1, Math.round(brush.size / 1.2));
      brush.size = Math.min(LARGEST, Math.max(1, key === "]" ? larger : smaller));
      this.show();
    } else if ("{}".includes(key)) {
      brush.hardness = Math.min(100, Math.max(0, brush.hardness + (key === "}" ? 10 : -10)));
      this.show();
    } else {
      return false;
    }
    return true;
  }
}
