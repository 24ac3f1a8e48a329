/* A surface on the screen: zoom, pan, and where on it a pointer is. Only what has changed is drawn again: of the surface the
   rectangle of the stroke, and of the screen the same. What lies over it (the brush, the blocks) has a canvas of its own. */

import { around } from "./raster.js";

const NEAREST = 32, FARTHEST = 1 / 16, FROM_EDGE = 12;

export class View {
  /** `box` is the element that it fills; `size` the width and height that it shows; `draw(which, context, area)` lays `now` or `was`
      on the pixels of a canvas, all of it where no area is said; `over(context, view)` draws what lies over it. Where it is
      `panelled`, a rectangle lies on each of its panels; `moved()` is told whenever all of it is drawn again. */
  constructor(box, { size, draw, over, panelled = false, moved = () => {} }) {
    Object.assign(this, { box, draw, over, panelled, moved });
    [this.ground, this.above] = box.querySelectorAll("canvas");
    [this.width, this.height] = size;
    this.sheets = new Map(["now", "was"].map((which) => [which, sheet(this.width, this.height)]));
    this.split = 0;
    this.instead = null;
    this.brush = null;
    this.area = null;
    this.stale = null;
    this.waits = false;
    this.isFitted = true;
    this.whole = { left: 0, top: 0, right: this.width, bottom: this.height };
    this.lay("was");
    this.lay("now");
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(box);
    this.resize();
  }

  close() { this.watch.disconnect(); }

  lay(which, area) {
    const context = this.sheets.get(which).getContext("2d");
    this.draw(which, context, area);
  }

  /** A rectangle of the surface has changed. */
  refresh(area) {
    if (!area) return;
    this.stale = around(this.stale, area);
    this.show(this.panelled ? this.whole : area);
  }

  /** Draw a rectangle of the surface again, all of it where none is said, when the screen is next drawn. */
  show(area = this.whole) {
    this.area = around(this.area, area);
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      const drawn = this.area;
      this.area = null;
      if (this.stale) this.lay("now", this.stale);
      this.stale = null;
      if (drawn) this.paint(drawn);
      this.paintAbove();
    });
  }

  /** Draw what lies over it again. */
  showAbove() { this.show(null); }

  resize() {
    const { clientWidth, clientHeight } = this.box, dense = globalThis.devicePixelRatio || 1;
    if (!clientWidth || !clientHeight) return;
    for (const canvas of [this.ground, this.above]) {
      canvas.width = Math.round(clientWidth * dense);
      canvas.height = Math.round(clientHeight * dense);
    }
    this.dense = dense;
    if (this.isFitted) this.fit();
    this.show();
  }

  /** All of it, in the middle. */
  fit() {
    const { clientWidth, clientHeight } = this.box, edge = clientWidth > 400 ? FROM_EDGE : 0;
    const scale = Math.min((clientWidth - 2 * edge) / this.width, (clientHeight - 2 * edge) / this.height);
    this.scale = scale >= 1 ? Math.floor(scale * 8) / 8 : scale;
    this.left = Math.round((clientWidth - this.width * this.scale) / 2);
    this.top = Math.round((clientHeight - this.height * this.scale) / 2);
    this.isFitted = true;
    this.show();
  }

  /** Zoom by a factor, so that the place of the screen stays where it is; in the middle where none is said. */
  zoom(factor, x = this.box.clientWidth / 2, y = this.box.clientHeight / 2) {
    const scale = Math.min(NEAREST, Math.max(FARTHEST, this.scale * factor));
    this.left = x - (x - this.left) * scale / this.scale;
    this.top = y - (y - this.top) * scale / this.scale;
    this.scale = scale;
    this.isFitted = false;
    this.show();
  }

  pan(across, down) {
    this.left += across;
    this.top += down;
    this.isFitted = false;
    this.show();
  }

  /** Where on the surface a pointer is, in its pixels. */
  at({ clientX, clientY }) {
    const { left, top } = this.box.getBoundingClientRect();
    return [(clientX - left - this.left) / this.scale, (clientY - top - this.top) / this.scale];
  }

  /** Draw a rectangle of the surface: no more of it than that, as drawing a large picture smaller takes long. */
  paint(area) {
    const context = this.ground.getContext("2d"), dense = this.dense, scale = this.scale * dense;
    const [left, top] = [this.left * dense, this.top * dense], isAll = this.isAll(area);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.save();
    context.beginPath();
    if (isAll) {
      context.rect(0, 0, this.ground.width, this.ground.height);
      this.moved();
    } else {
      const [x, y] = [Math.floor(left + area.left * scale) - 1, Math.floor(top + area.top * scale) - 1];
      context.rect(x, y, Math.ceil((area.right - area.left) * scale) + 3, Math.ceil((area.bottom - area.top) * scale) + 3);
    }
    context.clip();
    context.clearRect(0, 0, this.ground.width, this.ground.height);
    context.setTransform(scale, 0, 0, scale, left, top);
    context.imageSmoothingEnabled = this.scale < 1 || Boolean(this.instead);
    if (this.instead) context.drawImage(this.instead, 0, 0, this.width, this.height);
    else this.laid(context, "now", isAll ? this.whole : area);
    if (this.split > 0) {
      context.beginPath();
      context.rect(0, 0, this.width * this.split, this.height);
      context.clip();
      context.imageSmoothingEnabled = this.scale < 1;
      this.laid(context, "was", isAll ? this.whole : area);
    }
    context.restore();
  }

  isAll(area) {
    return area.left <= 0 && area.top <= 0 && area.right >= this.width && area.bottom >= this.height;
  }

  /** A rectangle of a sheet, with as much around it as is mixed into its edges. */
  laid(context, which, { left, top, right, bottom }) {
    const more = Math.ceil(3 / this.scale) + 1;
    const [x, y] = [Math.max(0, left - more), Math.max(0, top - more)];
    const [width, height] = [Math.min(this.width, right + more) - x, Math.min(this.height, bottom + more) - y];
    context.drawImage(this.sheets.get(which), x, y, width, height, x, y, width, height);
  }

  paintAbove() {
    const context = this.above.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.above.width, this.above.height);
    context.setTransform(this.scale * this.dense, 0, 0, this.scale * this.dense, this.left * this.dense, this.top * this.dense);
    this.over(context, this);
  }
}

function sheet(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas;
}
