/* What is painted goes to its files, and what the daemon makes of it comes back: the proof of the paint, new latents, or the news
   that somebody else has written there. */

import * as api from "./api.js";
import * as originals from "./originals.js";

const SOON = 700, LATER = 4000, PATIENCE = 120_000, CERTAIN = 8000;

export class Saving {
  /** `easel` is what is painted, `files` the versions and stamps of its two files; `told` gets a sentence and what kind it is;
      `news` is told of a state that differs: proof, preview, latents, complaint, or gone. */
  constructor({ easel, files, told, news }) {
    Object.assign(this, { easel, files, told, news, awaited: null, isTaking: false, state: null, busy: Promise.resolve(), timer: 0 });
  }

  /** Save what is not saved yet. The picture first: once it is painted on, the daemon lays no other proof over it. */
  save() {
    this.busy = this.busy.catch(() => {}).then(() => this.saved());
    return this.busy;
  }

  async saved() {
    const { picture, latents } = this.easel, was = { preview: this.state?.preview?.stamp, proof: this.files.picture?.stamp };
    let wrote = null;
    if (picture && !picture.isSaved) {
      const levels = picture.now.slice();
      Object.assign(this.files.picture, await api.savePicture(this.files.picture.version, levels));
      picture.saved.set(levels);
      originals.keep(this.files.picture.version, picture.original.slice());
      wrote = { ...was, by: "picture" };
    }
    if (!latents.isSaved) {
      const sent = latents.now.slice(), { values, ...file } = await api.saveLatents(this.files.latents.version, latents.mask, sent);
      Object.assign(this.files.latents, file);
      latents.settle(sent, values);
      this.easel.refresh(latents, this.easel.everywhere);
      originals.keep(file.version, latents.original.slice());
      wrote = { ...was, by: wrote?.by ?? "latents" };
    }
    if (wrote) this.wrote = wrote;
    return wrote;
  }

  /** Look at once, and from then on. */
  watch() {
    clearTimeout(this.timer);
    this.busy = this.busy.catch(() => {}).then(() => this.look()).catch((error) => this.told(error.message, "fault"));
    this.busy.finally(() => { this.timer = setTimeout(() => this.watch(), this.awaited ? SOON : LATER); });
  }

  async look() {
    if (document.hidden && !this.awaited) return;
    const before = this.state, state = await api.state(before?.id);
    if (this.awaited && performance.now() > this.awaited) this.tired(state);
    if (state.gone) return this.news("gone", state);
    this.state = state;
    if (state.latents !== this.files.latents.stamp) this.news("latents", state);
    // One of before is told again only where nothing came of what was saved since.
    const isNew = state.complaint && (state.complaint !== before?.complaint || performance.now() > this.awaited - PATIENCE + CERTAIN);
    if (this.awaited && isNew) return this.news("complaint", state);
    const proof = state.proof?.stamp ?? null;
    if (proof && proof !== (this.files.picture?.stamp ?? null)) this.news("proof", state);
    else if (state.preview && state.preview.stamp !== before?.preview?.stamp) this.news("preview", state);
  }

  /** Nothing came for long. */
  tired({ gone, alive }) {
    this.awaited = null;
    if (gone) return;
    this.told(alive ? "The daemon has other work; it comes when that is done. Your paint is saved."
      : "The daemon does not run, so nothing comes yet; your paint is saved, and waits for it.", "fault");
  }

  /** Look often, until there is news. */
  await() {
    this.awaited = performance.now() + PATIENCE;
    this.watch();
  }
}
