// Single keys, wherever nobody types, and the small page that says which.

import { button, element } from "./parts.js";

const SAID = [
  ["n", "A new prompt"], ["f", "Add files: prompts, pictures, latents"], ["b", "List or board"], ["/", "Search names and words"],
  ["\u2190 \u2191 \u2193 \u2192", "From card to card on the board"], ["Ctrl Enter", "Make the picture of the prompt"], ["Esc", "Close what is open"], ["?", "This list"],
];
const TYPES = "input, textarea, select, [contenteditable]";

export function helpDialog() {
  const rows = SAID.flatMap(([key, words]) => [element("dt", {}, ...key.split(" ").flatMap((one) => [element("kbd", {}, one), " "])), element("dd", {}, words)]);
  const dialog = element("dialog", { id: "help", "aria-labelledby": "help-title" });
  dialog.append(
    element("h2", { id: "help-title" }, "Keys"), element("dl", {}, ...rows),
    element("p", {}, "Drop files anywhere on the page, or paste a picture. All of it lies in folders, so whatever this page does you may also do by moving files."),
    button("Close", "close", () => dialog.close(), { class: "first" }),
  );
  return dialog;
}

// `keys` are functions by key; they are left alone in fields and in dialogs, and with another key held down. A field of a dialog that
// has closed keeps the focus until the browser draws again: nobody types there.
export function listen(keys) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(TYPES)?.checkVisibility() || document.querySelector("dialog[open]")) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}
