/* One stroke after the other: what a tool does to the picture and to the latents, undone and redone as one step. */

import { Blocks } from "./blocks.js";
import { History } from "./history.js";
import { noiseLike } from "./noise.js";
import { around, stampsBetween } from "./raster.js";

export const PICTURE = "picture", PANELS = "panels";

export class Easel {
  /** `latents` and, where there is a proof, the `picture`; `state` is how far the latents are; `say` tells a sentence why a stroke
      cannot be; `changed` is told after each change. */
  constructor({ latents, picture, state, say, changed }) {
    Object.assign(this, { latents, state, say, changed, history: new History(), views: {}, stroke: null, strokes: 0 });
    this.brush = {
      tool: "paint", size: 24, hardness: 100, opacity: 100, colour: [200, 40, 30], value: 0, everyPanel: true,
      sizeByPressure: true, opacityByPressure: false, seed: crypto.getRandomValues(new Uint32Array(1))[0], source: null,
    };
    this.hang(picture);
  }

  /** Take another picture, as it lies in its file now. */
  hang(picture) {
    if (this.picture) this.history.drop(this.picture);
    this.picture = picture;
    this.block = picture ? picture.width / this.latents.width : 8;
    this.blocks = new Blocks(this.latents.width, this.latents.height, this.block);
    this.blocks.compare(this.latents, this.everywhere);
    // Paint of before, where the original of what lies here is known.
    if (picture && !picture.isOriginal) this.blocks.count(picture, { left: 0, top: 0, right: picture.width, bottom: picture.height });
  }

  get everywhere() { return { left: 0, top: 0, right: this.latents.width, bottom: this.latents.height }; }
  get isSaved() { return this.latents.isSaved && (!this.picture || this.picture.isSaved); }
  get isPainted() { return Boolean(this.picture && !this.picture.isOriginal); }

  /** What a pointer on one of the two does. */
  hand(where) {
    return {
      begin: (point) => this.begin(where, point),
      move: (point) => this.move(point),
      end: () => this.end(),
      cancel: () => this.cancel(),
      pick: (x, y) => this.pick(where, x, y),
    };
  }

  begin(where, point) {
    const channel = where === PANELS ? this.latents.placeIn(point.x, point.y).channel : null;
    const layers = this.layersOf(where, channel);
    if (typeof layers === "string") {
      this.say(layers);
      return false;
    }
    this.stroke = { where, channel, layers };
    this.move(point);
    return true;
  }

  move(point) {
    for (const layer of this.stroke.layers) {
      const at = this.onLayer(layer, point);
      let area = null;
      for (const stamp of stampsBetween(layer.last, at)) {
        const touched = layer.surface.stamp(stamp, layer.paint.hard && layer.surface === this.latents ? 100 : this.brush.hardness, layer.paint);
        area = around(area, touched);
      }
      if (area) this.refresh(layer.surface, area);
      layer.last = at;
    }
  }

  end() {
    this.history.add(this.stroke.layers.map(({ surface }) => surface.end()));
    this.strokes += 1;
    this.stroke = null;
    this.changed();
  }

  cancel() {
    for (const { surface } of this.stroke.layers) {
      const area = surface.cancel();
      if (area) this.refresh(surface, area);
    }
    this.stroke = null;
    this.changed();
  }

  undo() { this.replayed(this.history.undo()); }
  redo() { this.replayed(this.history.redo()); }

  replayed(changes) {
    if (this.stroke) return;
    changes.forEach(({ surface, area }) => this.refresh(surface, area));
    this.changed();
  }

  /** Show a rectangle of a surface again, and count its blocks. */
  refresh(surface, area) {
    if (surface === this.picture) {
      this.blocks.count(surface, area);
    } else {
      this.blocks.compare(surface, area);
      this.views[PANELS]?.refresh(area);
    }
    if (surface === this.picture) this.views[PICTURE]?.refresh(area);
    else this.views[PICTURE]?.showAbove();
  }

  pick(where, x, y) {
    const surface = where === PANELS ? this.latents : this.picture;
    if (!surface || x < 0 || y < 0) return;
    if (where === PANELS) {
      const { channel, x: column, y: row } = surface.placeIn(x, y);
      if (column >= surface.width || row >= surface.height) return;
      const value = surface.now[(channel * surface.height + Math.floor(row)) * surface.width + Math.floor(column)];
      this.brush.value = value / surface.deviation;
    } else {
      if (x >= surface.width || y >= surface.height) return;
      this.brush.colour = surface.colourAt(x, y);
    }
    this.picked?.(where);
  }

  /** The diameter of the brush on a surface, in its pixels. */
  sizeOn(surface, pressure = 1) {
    const size = this.brush.size * (this.brush.sizeByPressure ? pressure : 1);
    return Math.max(1, Math.round(surface === this.latents ? size / this.block : size));
  }

  onLayer({ surface }, { x, y, pressure }) {
    const { where, channel } = this.stroke, opacity = this.brush.opacity * 2.55 * (this.brush.opacityByPressure ? pressure : 1);
    const stamp = { x, y, size: this.sizeOn(surface, pressure), opacity: Math.round(opacity) };
    if (where === PANELS) {
      const [left, top] = surface.corner(channel);
      return { ...stamp, x: x - left, y: y - top };
    }
    return surface === this.latents ? { ...stamp, x: x / this.block, y: y / this.block } : stamp;
  }

  /** What a stroke of this tool paints on, or why it cannot. */
  layersOf(where, channel) {
    const { brush, latents, picture } = this, isPanels = where === PANELS;
    const all = Array.from({ length: latents.planes }, (_, index) => index);
    const channels = isPanels && !brush.everyPanel ? [channel] : all;
    const values = (paint) => ({ surface: latents, paint: { channels, ...paint } });
    if (!isPanels && !picture) return "There is no picture to paint on yet; the panels are beside it.";
    switch (brush.tool) {
      case "paint":
        return isPanels ? "Colours go on the picture. On the panels paint values: choose Value." : [{ surface: picture, paint: { colour: brush.colour } }];
      case "erase": {
        const back = values({ values: latents.original, hard: true });
        return isPanels ? [back] : [{ surface: picture, paint: { levels: picture.original } }, back];
      }
      case "value":
        return [values({ value: Math.fround(brush.value * latents.deviation) })];
      case "noise":
        if (this.state === "final") return "These latents are finished: no loop would make anything of new noise in them.";
        return [values({ values: noiseLike(latents, this.state, brush.seed + this.strokes), hard: true })];
      default:
        return this.copied(isPanels, values);
    }
  }

  copied(isPanels, values) {
    const { source } = this.brush;
    if (!source) return "Choose first what to copy from.";
    if (isPanels) return source.values ? [values({ values: source.values, hard: true })] : "That has no latents of this size; copy from its picture.";
    return source.levels ? [{ surface: this.picture, paint: { levels: source.levels } }] : "That has no picture of this size; copy on the panels.";
  }
}
