/* What lies over a view: the touched blocks, softly outlined, the edge of the comparison, and the brush as large as it paints. */

import { PANELS } from "./easel.js";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function overlay(easel, where) {
  return (context, view) => {
    const unit = 1 / view.scale;
    if (where === PANELS) panels(context, easel, unit);
    else if (!view.instead) outline(context, easel, unit);
    if (view.split > 0 && view.split < 1) divider(context, view, unit);
    if (view.brush) brush(context, easel, where, view.brush, unit);
  };
}

function outline(context, easel, unit) {
  const path = easel.blocks.path(easel.block);
  context.lineWidth = 3 * unit;
  context.strokeStyle = "rgb(255 255 255 / 55%)";
  context.stroke(path);
  context.lineWidth = unit;
  context.strokeStyle = colour("--accent");
  context.stroke(path);
  hatched(context, easel);
}

/** Blocks whose latents are other ones, which the picture cannot show yet. */
function hatched(context, { blocks, block }) {
  context.fillStyle = colour("--hatch");
  for (let y = 0; y < blocks.height; y++) {
    for (let x = 0; x < blocks.width; x++) if (blocks.changed[y * blocks.width + x]) context.fillRect(x * block, y * block, block, block);
  }
}

function panels(context, { latents, blocks }, unit) {
  context.strokeStyle = colour("--line");
  context.lineWidth = unit;
  for (let channel = 0; channel < latents.planes; channel++) {
    const [left, top] = latents.corner(channel);
    context.strokeRect(left, top, latents.width, latents.height);
    context.save();
    context.translate(left, top);
    context.strokeStyle = colour("--accent");
    context.globalAlpha = 0.7;
    context.stroke(blocks.path(1));
    context.restore();
  }
}

function divider(context, view, unit) {
  const x = view.width * view.split;
  for (const [width, ink] of [[3, "rgb(0 0 0 / 50%)"], [1, "#fff"]]) {
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, view.height);
    context.lineWidth = width * unit;
    context.strokeStyle = ink;
    context.stroke();
  }
}

function brush(context, easel, where, [x, y], unit) {
  const isFine = where !== PANELS && ["paint", "erase", "copy"].includes(easel.brush.tool);
  const surface = where === PANELS || !isFine ? easel.latents : easel.picture;
  if (!surface) return;
  const size = easel.sizeOn(surface) * (where !== PANELS && !isFine ? easel.block : 1);
  for (const [width, ink] of [[3, "rgb(0 0 0 / 45%)"], [1.25, "#fff"]]) {
    context.beginPath();
    context.arc(x, y, size / 2, 0, 2 * Math.PI);
    context.lineWidth = width * unit;
    context.strokeStyle = ink;
    context.stroke();
  }
}
