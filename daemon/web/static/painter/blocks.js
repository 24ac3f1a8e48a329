/* Which blocks of the picture are touched, what is told of them, and their outline: what one value of the latents stands for is
   one block, and only those that were painted in change. */

import { clipped } from "./raster.js";

// As the daemon counts: a change of one level is rounding. It says of thin paint what is said here, and refuses more than the last.
const ROUNDING = 1;
export const LEAST_COVER = 0.4, MOST_PAINTED = 0.6;

export class Blocks {
  constructor(width, height, side) {
    Object.assign(this, { width, height, side, painted: new Uint16Array(width * height), changed: new Uint8Array(width * height), outline: null });
  }

  /** Count again the painted pixels of the blocks in a rectangle of the picture. */
  count(picture, area) {
    const { side } = this;
    this.each(area, (x, y) => {
      let painted = 0;
      for (let row = y * side; row < (y + 1) * side; row++) {
        for (let at = 3 * (row * picture.width + x * side), end = at + 3 * side; at < end; at += 3) {
          if (differs(picture, at)) painted++;
        }
      }
      this.painted[y * this.width + x] = painted;
    });
  }

  /** Look again in which blocks of a rectangle, in values, latents are other ones. */
  compare(latents, { left, top, right, bottom }) {
    const area = latents.width * latents.height;
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const place = y * latents.width + x;
        let changed = 0;
        for (let channel = 0; channel < latents.planes && !changed; channel++) {
          if (latents.now[channel * area + place] !== latents.original[channel * area + place]) changed = 1;
        }
        this.changed[place] = changed;
      }
    }
    this.outline = null;
  }

  each(area, work) {
    const { side } = this;
    const found = clipped({
      left: Math.floor(area.left / side), top: Math.floor(area.top / side), right: Math.ceil(area.right / side), bottom: Math.ceil(area.bottom / side),
    }, this.width, this.height);
    if (!found) return;
    for (let y = found.top; y < found.bottom; y++) for (let x = found.left; x < found.right; x++) work(x, y);
    this.outline = null;
  }

  isTouched(x, y) {
    const at = y * this.width + x;
    return x >= 0 && y >= 0 && x < this.width && y < this.height && (this.painted[at] > 0 || this.changed[at] > 0);
  }

  /** How many blocks are painted on the picture and in values, how much of the former the paint covers, and how much of all they are. */
  get told() {
    let painted = 0, pixels = 0, values = 0;
    this.painted.forEach((count) => { if (count) [painted, pixels] = [painted + 1, pixels + count]; });
    this.changed.forEach((changed) => { values += changed; });
    return { painted, values, cover: painted ? pixels / (painted * this.side ** 2) : 1, share: painted / this.painted.length };
  }

  /** Where touched blocks end, `unit` long each; in lines as long as can be. */
  path(unit) {
    if (this.outline?.unit !== unit) {
      const path = new Path2D();
      runs(this.height, this.width, (y, x) => this.isTouched(x, y) !== this.isTouched(x, y - 1), (y, from, to) => {
        path.moveTo(from * unit, y * unit);
        path.lineTo(to * unit, y * unit);
      });
      runs(this.width, this.height, (x, y) => this.isTouched(x, y) !== this.isTouched(x - 1, y), (x, from, to) => {
        path.moveTo(x * unit, from * unit);
        path.lineTo(x * unit, to * unit);
      });
      this.outline = { unit, path };
    }
    return this.outline.path;
  }
}

/** The stretches along each line in which it is so. */
function runs(lines, length, isSo, found) {
  for (let line = 0; line <= lines; line++) {
    let from = -1;
    for (let at = 0; at <= length; at++) {
      const is = at < length && isSo(line, at);
      if (is && from < 0) from = at;
      if (!is && from >= 0) {
        found(line, from, at);
        from = -1;
      }
    }
  }
}

function differs({ now, original }, at) {
  for (let channel = at; channel < at + 3; channel++) if (Math.abs(now[channel] - original[channel]) > ROUNDING) return true;
  return false;
}
