// What the page itself makes its elements of, for the modules beside it: one look, and text that is never markup.

export const { element, number, time, picture, prompt, facts, way, progress, arrange, exchange } = globalThis.tiffsdPage.parts;

export const byId = (id) => document.getElementById(id);

export function button(text, key, clicked, attributes = {}) {
  const made = element("button", { type: "button", "data-key": key, ...attributes }, text);
  made.addEventListener("click", clicked);
  return made;
}

// Words with `names` of settings in them.
export function worded(words) {
  return words.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}
