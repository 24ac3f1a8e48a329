/* Undo and redo. One step is what one stroke has changed, on each of the surfaces that it touched; the oldest go where they are
   too many bytes. */

export const MOST_BYTES = 192 * 2 ** 20;

export class History {
  constructor(most = MOST_BYTES) {
    this.most = most;
    this.forget();
  }

  forget() {
    [this.done, this.undone, this.bytes] = [[], [], 0];
  }

  /** Keep what a stroke changed; what was undone before it is gone then. */
  add(changes) {
    const found = changes.filter(Boolean);
    if (!found.length) return;
    this.undone.forEach((step) => { this.bytes -= bytesOf(step); });
    this.undone = [];
    this.done.push(found);
    this.bytes += bytesOf(found);
    while (this.bytes > this.most && this.done.length > 1) this.bytes -= bytesOf(this.done.shift());
  }

  /** Forget what was done to one surface, which is another one now. */
  drop(surface) {
    const kept = (steps) => steps.map((step) => step.filter((change) => change.surface !== surface)).filter((step) => step.length);
    [this.done, this.undone] = [kept(this.done), kept(this.undone)];
    this.bytes = [...this.done, ...this.undone].reduce((sum, step) => sum + bytesOf(step), 0);
  }

  /** Take the last stroke back; gives back its changes, or nothing. */
  undo() { return moved(this.done, this.undone, "before"); }

  redo() { return moved(this.undone, this.done, "after"); }
}

function moved(from, to, side) {
  const step = from.pop();
  if (!step) return [];
  step.forEach(({ surface, area, [side]: cut }) => surface.put(area, cut));
  to.push(step);
  return step;
}

function bytesOf(step) {
  return step.reduce((sum, { before, after }) => sum + before.byteLength + after.byteLength, 0);
}
