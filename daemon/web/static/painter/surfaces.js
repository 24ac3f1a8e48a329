/* What is painted on: levels of a picture, and values of latents. Each knows how it was when the page was opened (`original`), how it
   lies in its file (`saved`), and how it is now (`now`). A stroke changes `now` from how it was when the stroke began (`before`):

     level   (before (255 - alpha) + target alpha + 127) div 255
     value   the target where alpha is 255, else before + (target - before) alpha / 255 in float64, rounded once to float32 */

import { around, clipped, coverOf, squareOf } from "./raster.js";

class Surface {
  constructor(width, height, planes, now) {
    Object.assign(this, { width, height, planes, now });
    this.original = now.slice();
    this.saved = now.slice();
    this.before = now.slice();
    this.alpha = new Uint8Array(width * height);
    this.touched = null;
  }

  /** Put a stamp of the stroke that is being drawn; gives back the rectangle that it changed, or null. */
  stamp(point, hardness, paint) {
    const { left, top, size } = squareOf(point), cover = coverOf(size, hardness);
    const area = clipped({ left, top, right: left + size, bottom: top + size }, this.width, this.height);
    if (!area) return null;
    for (let y = area.top; y < area.bottom; y++) {
      let from = (y - top) * size + area.left - left, place = y * this.width + area.left;
      for (let x = area.left; x < area.right; x++, from++, place++) {
        let alpha = Math.floor((cover[from] * point.opacity + 127) / 255);
        if (paint.hard) alpha = cover[from] >= 128 ? 255 : 0;
        if (alpha > this.alpha[place]) {
          this.alpha[place] = alpha;
          this.blend(place, alpha, paint);
        }
      }
    }
    this.touched = around(this.touched, area);
    return area;
  }

  /** End the stroke: what it changed, for the history; null where it changed nothing. */
  end() {
    const area = this.touched;
    this.touched = null;
    if (!area) return null;
    for (let y = area.top; y < area.bottom; y++) this.alpha.fill(0, y * this.width + area.left, y * this.width + area.right);
    const change = { surface: this, area, before: this.cut(this.before, area), after: this.cut(this.now, area) };
    this.paste(this.before, area, change.after);
    return same(change.before, change.after) ? null : change;
  }

  /** Take the stroke back that is being drawn; gives back the rectangle that it had changed. */
  cancel() {
    const area = this.touched;
    if (area) {
      this.paste(this.now, area, this.cut(this.before, area));
      this.end();
    }
    return area;
  }

  /** Take another original, of the same size: what there was before somebody painted and saved. */
  recall(original) {
    if (original?.length === this.now.length) this.original.set(original);
  }

  /** Lay what a change has kept in its place. */
  put(area, cut) {
    this.paste(this.now, area, cut);
    this.paste(this.before, area, cut);
  }

  /** Take it that all of this lies in the file now, and so be it. */
  keep(values) {
    this.now.set(values);
    this.before.set(values);
    this.saved.set(values);
  }

  get isSaved() { return same(this.now, this.saved); }
  get isOriginal() { return same(this.now, this.original); }
}

/** A picture: levels (H, W, 3). */
export class Picture extends Surface {
  constructor(width, height, levels) { super(width, height, 1, levels); }

  blend(place, alpha, { colour, levels }) {
    for (let channel = 0, at = 3 * place; channel < 3; channel++, at++) {
      const target = levels ? levels[at] : colour[channel];
      this.now[at] = Math.floor((this.before[at] * (255 - alpha) + target * alpha + 127) / 255);
    }
  }

  cut(levels, { left, top, right, bottom }) {
    const length = 3 * (right - left), found = new Uint8Array(length * (bottom - top));
    for (let y = top; y < bottom; y++) {
      const start = 3 * (y * this.width + left);
      found.set(levels.subarray(start, start + length), (y - top) * length);
    }
    return found;
  }

  paste(levels, { left, top, right, bottom }, cut) {
    const length = 3 * (right - left);
    for (let y = top; y < bottom; y++) levels.set(cut.subarray((y - top) * length, (y - top + 1) * length), 3 * (y * this.width + left));
  }

  colourAt(x, y) {
    const at = 3 * (Math.floor(y) * this.width + Math.floor(x));
    return [...this.now.subarray(at, at + 3)];
  }

  /** Lay the rectangle on the pixels of a canvas. */
  show(levels, context, { left, top, right, bottom }) {
    const image = context.createImageData(right - left, bottom - top), to = image.data;
    for (let y = top, at = 0; y < bottom; y++) {
      for (let from = 3 * (y * this.width + left), end = 3 * (y * this.width + right); from < end; at += 4) {
        to[at] = levels[from++];
        to[at + 1] = levels[from++];
        to[at + 2] = levels[from++];
        to[at + 3] = 255;
      }
    }
    context.putImageData(image, left, top);
  }
}

/** Latents: values (C, h, w), of which a stroke changes the channels that it is for. `deviation` is what their canvas divides by. */
export class Latents extends Surface {
  constructor(channels, height, width, values, deviation) {
    super(width, height, channels, values);
    this.deviation = deviation;
    this.columns = 1;
    while (channels % this.columns || this.columns ** 2 < channels) this.columns++;
    this.rows = channels / this.columns;
  }

  blend(place, alpha, { value, values, channels }) {
    for (const channel of channels) {
      const at = channel * this.width * this.height + place, before = this.before[at], target = values ? values[at] : value;
      this.now[at] = alpha === 255 ? target : before + (target - before) * alpha / 255;
    }
  }

  cut(values, { left, top, right, bottom }) {
    const length = right - left, found = new Float32Array(length * (bottom - top) * this.planes);
    this.eachRow({ left, top, right, bottom }, (start, to) => found.set(values.subarray(start, start + length), to));
    return found;
  }

  paste(values, area, cut) {
    const length = area.right - area.left;
    this.eachRow(area, (start, from) => values.set(cut.subarray(from, from + length), start));
  }

  eachRow({ left, top, right, bottom }, work) {
    let at = 0;
    for (let channel = 0; channel < this.planes; channel++) {
      for (let y = top; y < bottom; y++, at += right - left) work((channel * this.height + y) * this.width + left, at);
    }
  }

  /** Where the panel of a channel lies in the mosaic, in values. */
  corner(channel) {
    return [channel % this.columns * this.width, Math.floor(channel / this.columns) * this.height];
  }

  /** The channel whose panel is at a place of the mosaic, and where in it that is; the nearest one beyond its edges. */
  placeIn(x, y) {
    const within = (at, count) => Math.min(count - 1, Math.max(0, Math.floor(at)));
    const channel = within(y / this.height, this.rows) * this.columns + within(x / this.width, this.columns);
    const [left, top] = this.corner(channel);
    return { channel, x: x - left, y: y - top };
  }

  /** Lay a rectangle of all panels on the pixels of a canvas, as the file's own canvas shows them: -4 black, 4 white. */
  show(values, context, { left, top, right, bottom }) {
    const image = context.createImageData(right - left, bottom - top), to = image.data, unit = 255 / (8 * this.deviation);
    for (let channel = 0; channel < this.planes; channel++) {
      for (let y = top, at = 0; y < bottom; y++) {
        let from = (channel * this.height + y) * this.width + left;
        for (let x = left; x < right; x++, at += 4) {
          to[at] = to[at + 1] = to[at + 2] = 127.5 + values[from++] * unit;
          to[at + 3] = 255;
        }
      }
      const [x, y] = this.corner(channel);
      context.putImageData(image, x + left, y + top);
    }
  }

  /** Take it that these are the values in the file, which rounds what was `sent`; what was painted meanwhile stays. */
  settle(sent, values) {
    for (let at = 0; at < sent.length; at++) {
      if (this.now[at] === sent[at]) this.now[at] = values[at];
      if (this.before[at] === sent[at]) this.before[at] = values[at];
    }
    this.saved.set(values);
  }

  /** Which values are other ones than those in the file: a byte for each. */
  get mask() {
    const now = bits(this.now), saved = bits(this.saved);
    return Uint8Array.from(now, (value, at) => value === saved[at] ? 0 : 1);
  }
}

function same(one, other) {
  const [first, second] = [bits(one), bits(other)];
  for (let at = 0; at < first.length; at++) if (first[at] !== second[at]) return false;
  return true;
}

/** Numbers as whole ones: of floats their bits, so that no two zeros are one. */
function bits(numbers) {
  return numbers instanceof Float32Array ? new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length) : numbers;
}
