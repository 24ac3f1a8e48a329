// Files that are dropped, picked or pasted, and the stages that take them.

import { knownFacts } from "./ask.js";
import { button, byId, element } from "./parts.js";
import { say } from "./say.js";
import { send } from "./uploads.js";

const BESIDE = [".yaml", ".yml", "_mask.png", "_neg.txt"], PROMPTS = [".txt", ".md", ".json"];
const MADE = {
  text: ["Make its picture", "A prompt, or the recipe in a picture"], diffuse: ["Go on with its latents", "Noise, half-done or finished latents with their prompt"],
  decode: ["Show its latents as a picture", "Finished latents"], encode: ["Make another picture of it", "Image-to-image, or only its latents"],
  invert: ["Find the noise that makes it", "A picture or latents, with a prompt"],
};
const KINDS_OF = {
  "image/tiff": ".tiff", "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "text/plain": ".txt", "text/markdown": ".md",
  "application/json": ".json",
};
let held = null, stages = [], mostBytes = Infinity, depth = 0;

export function dropTargets() {
  const cancel = button("Cancel", "cancel", () => byId("targets").close());
  const dialog = element("dialog", { id: "targets", "aria-labelledby": "targets-title" },
    element("h2", { id: "targets-title" }, "Where to?"), element("p", { id: "targets-about" }), element("div", { class: "targets" }), cancel);
  dialog.addEventListener("close", () => { depth = 0; });
  return dialog;
}

export function fileButton() {
  const input = element("input", { type: "file", id: "files", multiple: "", hidden: "", "aria-label": "Files to add" });
  input.addEventListener("change", () => { choose([...input.files]); input.value = ""; });
  return element("span", {}, button("Add files", "files", pickFiles, { "aria-keyshortcuts": "f" }), input);
}

export function pickFiles() { byId("files").click(); }

export function takeDrops() {
  knownFacts().then(learn, () => {});
  const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (event) => { if (carries(event)) { event.preventDefault(); depth += 1; hover(event); mark(event.target); } });
  document.addEventListener("dragover", (event) => { if (carries(event)) { event.preventDefault(); hover(event); mark(event.target); } });
  document.addEventListener("dragleave", (event) => { if (carries(event) && (depth -= 1) <= 0 && !held) byId("targets").close(); });
  document.addEventListener("drop", (event) => { if (carries(event)) { event.preventDefault(); dropped(event); } });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    choose(files.map(named));
  });
}

function learn(facts) { [stages, mostBytes] = [facts.stages, facts.limits?.file_bytes ?? Infinity]; }

// While files hang over the page only their kinds are known, not their names.
function hover(event) {
  const dialog = byId("targets");
  if (document.querySelector("dialog[open]") || !stages.length) return;
  held = null;
  const names = [...event.dataTransfer.items].map((item) => KINDS_OF[item.type] ?? "");
  offer(stages.filter((stage) => names.every((name) => !name || accepts(stage, name))), "Drop it on what shall become of it.");
  dialog.toggleAttribute("data-hovering", true);
  dialog.show();
}

function mark(target) {
  const over = target.closest?.(".target");
  for (const one of document.querySelectorAll(".target")) one.toggleAttribute("data-over", one === over);
}

function dropped(event) {
  const files = [...event.dataTransfer.files], stage = stages.find((one) => one.name === event.target.closest?.(".target")?.dataset.stage);
  depth = 0;
  const dialog = byId("targets");
  if (dialog.open) dialog.close();
  if (stage) take(files, stage);
  else choose(files);
}

// Files whose names are known: straight to the only stage that takes them, else a person says which.
async function choose(files) {
  if (!files.length) return;
  try {
    learn(await knownFacts());
  } catch (error) {
    say(error.message);
    return;
  }
  const found = stages.filter((stage) => files.every((file) => accepts(stage, file.name)));
  if (!found.length) return say(refusal(files));
  held = files;
  const names = files.slice(0, 3).map((file) => file.name).join(", ");
  offer(found, files.length === 1 ? names : `${files.length} files: ${names}${files.length > 3 ? ", ..." : ""}`);
  byId("targets").removeAttribute("data-hovering");
  byId("targets").showModal();
}

function offer(found, about) {
  const targets = found.map((stage) => {
    const [does, takes] = MADE[stage.name] ?? [stage.name, ""];
    const target = button("", stage.name, () => {
      byId("targets").close();
      if (held) take(held, stage);
    }, { class: "target", "data-stage": stage.name });
    target.append(element("b", {}, does), element("span", {}, takes), element("code", {}, stage.folder));
    return target;
  });
  byId("targets-about").textContent = about;
  byId("targets").querySelector(".targets").replaceChildren(...targets);
}

function take(files, stage) {
  const large = files.filter((file) => file.size > mostBytes);
  if (large.length) return say(`${large[0].name} is larger than a file may be here, ${Math.floor(mostBytes / 1e6)} MB.`);
  const good = files.filter((file) => accepts(stage, file.name)), bad = files.filter((file) => !good.includes(file));
  if (bad.length) say(refusal(bad, stage));
  // What goes with a file must lie there before the file does.
  if (good.length) send([...good.filter((file) => isBeside(stage, file.name)), ...good.filter((file) => !isBeside(stage, file.name))], stage);
}

function accepts(stage, name) { return ends(name, stage.extensions) || isBeside(stage, name); }

function isBeside(stage, name) {
  return ends(name, BESIDE) || (!ends(name, stage.extensions) && ends(name, PROMPTS) && ["encode", "diffuse", "invert"].includes(stage.name));
}

function ends(name, endings) { return endings.some((ending) => name.toLowerCase().endsWith(ending)); }

function refusal(files, stage) {
  const [file] = files, takers = stages.filter((one) => accepts(one, file.name)).map((one) => one.folder);
  if (!takers.length) return `No stage takes ${file.name}: it is no prompt (.txt), no picture (.png, .jpg, .webp, .tiff) and no latents (.tiff).`;
  return stage ? `${stage.folder} does not take ${file.name}; ${takers.join(" or ")} does.` : "No stage takes all of these files at once; add those of one kind.";
}

function named(file) { return file.name === "image.png" ? new File([file], "pasted.png", { type: file.type }) : file; }
