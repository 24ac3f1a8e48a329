/* The painter: what waits in hold/ is opened here, painted on, and let go on. */

import * as api from "./api.js";
import { LEAST_COVER, MOST_PAINTED } from "./blocks.js";
import { Controls } from "./controls.js";
import { Easel, PANELS, PICTURE } from "./easel.js";
import * as originals from "./originals.js";
import { overlay } from "./overlay.js";
import { Pointers } from "./pointers.js";
import { Saving } from "./saving.js";
import { Latents, Picture } from "./surfaces.js";
import { View } from "./view.js";

const find = (id) => document.getElementById(id);
const FINISHED = "These latents are finished: no loop would make anything of new noise in them.";
const STATES = { noise: "noise", partial: "half-done", final: "finished" };

let easel, controls, saving, led = null, wasPainted = false, isLeaving = false;
const views = {}, files = { picture: null, latents: null };

function tell(sentence, kind = "") {
  find("told").textContent = sentence;
  find("told").className = kind;
}

async function open() {
  const state = await api.state();
  if (state.gone) return gone(state);
  const latents = await api.latents(), [channels, height, width] = latents.size;
  const picture = state.proof ? await loaded(state, latents.size) : null;
  files.latents = { version: latents.version, stamp: latents.stamp };
  const values = new Latents(channels, height, width, latents.values, state.deviation);
  values.recall(await originals.kept(latents.version));
  easel = new Easel({
    latents: values, picture, state: state.state, say: (sentence) => tell(sentence, "fault"), changed,
  });
  saving = new Saving({ easel, files, told: tell, news });
  saving.state = state;
  describe(state);
  controls = new Controls(easel, { changed: brushChanged });
  hang(PANELS, easel.latents, [easel.latents.width * easel.latents.columns, easel.latents.height * easel.latents.rows]);
  if (picture) hang(PICTURE, picture, [picture.width, picture.height]);
  blank(state);
  wasPainted = Boolean(state.preview && picture);
  if (wasPainted) await keepLed(state.preview, false).catch(() => {});
  bind();
  changed();
  if (!picture) {
    controls.choose("value");
    swap();
  }
  saving.timer = setTimeout(() => saving.watch(), 1000);
  tellOthers(state);
  sources();
  globalThis.tiffsdPainter = { easel, saving, views, controls };
  document.body.dataset.ready = "true";
}

/** The proof as it lies there; null where it cannot be painted on, with the sentence why. */
async function loaded(state, [, rows, columns]) {
  try {
    const { levels, size: [height, width], version, stamp } = await api.picture();
    files.picture = { version, stamp };
    if (width % columns || height * columns !== width * rows) throw new Error("The proof here is not of the size of its latents; delete it for a new one.");
    const picture = new Picture(width, height, levels);
    picture.recall(await originals.kept(version));
    return picture;
  } catch (error) {
    files.picture = { stamp: state.proof.stamp };
    tell(error.message, "fault");
    return null;
  }
}

function hang(where, surface, size) {
  views[where]?.close();
  const box = find(where);
  const view = new View(box, {
    size,
    draw: (which, context, area) => {
      const all = { left: 0, top: 0, right: surface.width, bottom: surface.height };
      surface.show(which === "was" ? surface.original : surface.now, context, area ?? all);
    },
    over: overlay(easel, where),
    panelled: where === PANELS,
    moved: showScale,
  });
  views[where] = view;
  easel.views[where] = view;
  if (!box.pointers) box.pointers = new Pointers(view, hand(where), { mayTouch: () => !find("pen-only").checked, step: () => Math.max(1, easel.brush.size / (where === PANELS ? 32 : 4)) });
  box.pointers.view = view;
  view.show();
}

function showScale() {
  const scale = views[large()]?.scale;
  if (scale) find("percent").value = `${Math.round(100 * scale)}%`;
}

function hand(where) {
  const does = (name) => (...given) => easel.hand(where)[name](...given);
  return {
    begin: (point) => {
      if (where === PICTURE && views[PICTURE]?.instead) which("paint");
      tell("");
      return easel.begin(where, point);
    },
    move: does("move"), end: () => { easel.end(); controls.used(); }, cancel: does("cancel"), pick: does("pick"),
  };
}

function describe(state) {
  const done = state.state === "partial" && state.steps ? `step ${state.step} of ${state.steps}` : STATES[state.state] ?? "";
  const size = easel.picture ? `${easel.picture.width} x ${easel.picture.height}` : "";
  find("facts").textContent = [done, size, state.prompt].filter(Boolean).join(" \u00b7 ");
  const noise = document.querySelector("[name=tool][value=noise]");
  noise.disabled = state.state === "final";
  noise.parentElement.title = noise.disabled ? FINISHED : "Noise again, so that the loop invents there (N)";
  find("apply").hidden = !easel.picture;
}

function blank(state) {
  const why = state.state === "noise" ? "Of pure noise there is no picture yet. Paint values or noise on the panels, or let it go on."
    : state.proof ? "The proof that lies here cannot be painted on." : "There is no proof yet: the daemon makes it when no job waits.";
  find("blank").hidden = Boolean(easel.picture);
  find("blank").textContent = easel.picture ? "" : why;
}

function tellOthers(state) {
  if (state.others.length) tell(`${state.others[0]} lies beside it, from another program; of two that are painted on none counts, so take one away.`, "fault");
  else if (state.signed) tell("The daemon is asked to take the paint; new latents come in place of these.");
}

/** After each stroke, undo, save. */
function changed() {
  const { history, blocks } = easel;
  find("undo").disabled = !history.done.length;
  find("redo").disabled = !history.undone.length;
  const { painted, values, cover, share } = blocks.told, parts = [];
  if (painted) parts.push(`${painted} of ${blocks.painted.length} blocks of ${blocks.side} pixels are painted on`);
  if (values) parts.push(`${values}${painted ? "" : ` of ${blocks.painted.length} blocks of ${blocks.side} pixels`} have other values`);
  let said = parts.length ? `${parts.join(", ")}; only these change.` : "";
  const isTooMuch = share > MOST_PAINTED, isThin = painted > 0 && cover < LEAST_COVER;
  if (isThin) said += ` The paint covers ${Math.round(100 * cover)} % of its blocks: thin strokes may not outlive the VAE; thicker ones do.`;
  if (isTooMuch) said += ` That is more than ${Math.round(100 * MOST_PAINTED)} %, more than the daemon takes for paint, so undo or erase some of it.`;
  find("blocks").textContent = said;
  find("blocks").classList.toggle("fault", isThin || isTooMuch);
  find("save").disabled = easel.isSaved;
  for (const id of ["proof", "apply", "release"]) find(id).disabled = isTooMuch;
  document.title = `${easel.isSaved ? "" : "* "}${find("name").textContent} - tiffsd painter`;
}

function brushChanged() {
  Object.values(views).forEach((view) => view.showAbove());
}

function bind() {
  const click = (id, work) => find(id).addEventListener("click", () => Promise.resolve(work()).catch(failed));
  click("proof", proof);
  click("save", save);
  click("apply", take);
  click("release", release);
  click("undo", () => easel.undo());
  click("redo", () => easel.redo());
  click("in", () => zoom(1.25));
  click("out", () => zoom(0.8));
  click("fit", () => Object.values(views).forEach((view) => view.fit()));
  click("swap", swap);
  click("more", () => {
    const isOpen = find("sheet").classList.toggle("open");
    find("more").setAttribute("aria-expanded", isOpen);
  });
  find("split").addEventListener("input", ({ target }) => split(target.value / 100));
  find("source").addEventListener("change", ({ target }) => chosen(target.value).catch(failed));
  for (const radio of document.querySelectorAll("[name=which]")) radio.addEventListener("change", () => which(radio.value));
  addEventListener("keydown", key);
  addEventListener("keyup", (event) => { if (event.key.toLowerCase() === "o" && !isTyping(event)) split(find("split").value / 100); });
  addEventListener("beforeunload", (event) => { if (!easel.isSaved && !isLeaving) event.preventDefault(); });
}

const isTyping = ({ target }) => target.matches?.("input:not([type=radio], [type=range], [type=checkbox], [type=color]), select, textarea");

function key(event) {
  const name = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    const work = { z: () => event.shiftKey ? easel.redo() : easel.undo(), y: () => easel.redo(), s: save, enter: proof }[name];
    if (!work || name !== "s" && isTyping(event)) return;
    event.preventDefault();
    Promise.resolve(work()).catch(failed);
  } else if (!event.altKey && !isTyping(event)) {
    if (name === "o") split(1);
    else if (name === "0") Object.values(views).forEach((view) => view.fit());
    else if (name === "+" || name === "=") zoom(1.25);
    else if (name === "-") zoom(0.8);
    else controls.key(event);
  }
}

function zoom(factor) { (large() === PANELS ? views[PANELS] : views[PICTURE])?.zoom(factor); }

const large = () => find("large").firstElementChild.id;

/** The panels large and the picture small, or the other way round. */
function swap() {
  const [one, other] = [find("large").firstElementChild, find("small").firstElementChild];
  find("large").prepend(other);
  find("small").prepend(one);
  find("swap").setAttribute("aria-pressed", large() === PANELS);
  find("swap").textContent = large() === PANELS ? "Picture back" : "Enlarge";
  Object.values(views).forEach((view) => { view.isFitted = true; view.resize(); });
}

function split(part) {
  Object.values(views).forEach((view) => { view.split = part; view.show(); });
}

/** Show the paint, or what it leads to. */
function which(value) {
  if (!views[PICTURE]) return;
  views[PICTURE].instead = value === "led" ? led : null;
  views[PICTURE].show();
  for (const radio of document.querySelectorAll("[name=which]")) radio.checked = radio.value === value;
}

async function save() {
  tell("Saving ...");
  try {
    const wrote = await saving.save();
    tell(wrote ? "Saved." : "All of it is saved.");
    return wrote;
  } finally {
    changed();
  }
}

async function proof() {
  const wrote = await save(), areValues = (wrote ?? saving.wrote)?.by === "latents";
  if (!wrote && led) {
    which("led");
  } else if (!easel.isPainted && !wasPainted && !areValues) {
    forgetLed();
    tell("Nothing is painted, so the picture stays as it is shown.");
  } else {
    tell("Saved. The daemon looks what it leads to ...");
    saving.await();
  }
}

async function take() {
  await save();
  if (!easel.isPainted) {
    tell("Nothing is painted on the picture; what is painted in the panels counts as it is.");
    return;
  }
  await api.act("apply");
  saving.isTaking = true;
  tell("The daemon takes the paint: new latents, with a new proof, come in place of these ...");
  saving.await();
}

async function release() {
  await save();
  const { said } = await api.act("release");
  tell(said);
  leave("./");
}

function leave(where) {
  isLeaving = true;
  location.assign(where);
}

function failed(error) {
  tell(error.message, "fault");
  if (error.status === 409) offer("Load what lies there now; your paint is lost", () => { isLeaving = true; location.reload(); });
}

/** A button behind what was told. */
function offer(words, work) {
  const button = document.createElement("button");
  button.textContent = words;
  button.addEventListener("click", work);
  find("told").append(" ", button);
}

/** What the daemon, or somebody else, has written. */
function news(what, state) {
  if (what === "gone") gone(state);
  else if (what === "complaint") refused(state);
  else if (what === "preview") shown(state).catch(failed);
  else if (what === "proof") newProof(state).catch(failed);
  else newLatents(state).catch(failed);
}

/** The daemon cannot take the paint as it is, and says why. */
function refused(state) {
  saving.awaited = null;
  tell(`The daemon says: ${state.complaint}. Your paint is saved; undo, or erase some of it, and try again.`, "fault");
}

function gone(state) {
  // While the daemon takes the paint, neither the old latents lie here nor the new ones.
  if (!state.successor && saving?.awaited && saving.isTaking) return;
  clearTimeout(saving?.timer);
  if (saving) saving.watch = () => {};
  if (state.successor) {
    const where = `painter?${new URLSearchParams({ path: state.successor })}`;
    if (!easel || easel.isSaved) return leave(where);
    tell("The paint that was saved is taken, and new latents wait in place of these.");
    return offer("Open them; what is not saved is lost", () => leave(where));
  }
  // Nothing that is painted here could be saved any more.
  document.body.classList.add("gone");
  tell("It does not wait here any more: it was let go on, or taken away.", "fault");
  offer("Back to the page", () => leave("./"));
}

async function keepLed(preview, isNews) {
  led = await api.shown(preview);
  find("which").hidden = false;
  if (isNews) which("led");
}

function forgetLed() {
  which("paint");
  led = null;
  find("which").hidden = true;
}

async function shown(state) {
  const wasAwaited = saving.awaited !== null;
  saving.awaited = null;
  await keepLed(state.preview, wasAwaited && easel.isSaved);
  tell(wasAwaited ? "This is what your paint leads to by now. Not yet right? Paint on." : "There is a new proof of the paint.");
}

async function newProof(state) {
  if (saving.told409 === state.proof.stamp) return;
  if (easel.picture && (easel.isPainted || !easel.picture.isSaved)) {
    saving.told409 = state.proof.stamp;
    tell("Somebody else, or the daemon, has written another proof there.", "fault");
    offer("Load it; your paint on the picture is lost", () => fresh(state).catch(failed));
    return;
  }
  await fresh(state);
}

async function fresh(state) {
  const wasAwaited = saving.awaited !== null, picture = await loaded(state, state.size);
  if (!picture) return;
  saving.awaited = null;
  if (!easel.picture && large() === PANELS) swap();
  easel.hang(picture);
  hang(PICTURE, picture, [picture.width, picture.height]);
  forgetLed();
  wasPainted = false;
  blank(state);
  describe(state);
  changed();
  tell(wasAwaited ? "This is what it leads to by now; paint on." : "The daemon has laid a new proof here.");
}

async function newLatents(state) {
  if (saving.toldLatents === state.latents) return;
  saving.toldLatents = state.latents;
  tell("Somebody else has saved these latents.", "fault");
  offer("Load them; what is not saved is lost", () => { isLeaving = true; location.reload(); });
}

async function sources() {
  const found = await api.sources().catch(() => []);
  find("source").append(...found.map(({ path, name, picture, latents }) => {
    const option = document.createElement("option");
    option.value = path;
    option.textContent = picture && latents ? name : `${name} (${picture ? "its picture" : "its latents"})`;
    option.dataset.has = `${picture} ${latents}`;
    return option;
  }));
  if (!found.length) find("source-told").textContent = "Nothing else of this size lies in hold/, steps/ or pictures/.";
}

async function chosen(path) {
  easel.brush.source = null;
  if (!path) return;
  const [picture, latents] = find("source").selectedOptions[0].dataset.has.split(" ").map((word) => word === "true");
  const [levels, values] = await Promise.all([picture ? api.picture(path) : null, latents ? api.latents(path) : null]);
  easel.brush.source = { path, levels: levels?.levels, values: values?.values };
  tell(`What lies in ${path} is copied by the brush.`);
}

open().catch((error) => tell(error.message, "fault"));
