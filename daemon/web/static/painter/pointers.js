/* Mouse, pen, fingers and keys on a view: who paints, who moves it, and with what pressure. One finger paints, or moves where only a
   pen may paint; a second one takes back what the first has begun, and the two zoom and move. */

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pointers {
  /** `hand` has begin, move, end, cancel and pick, each told where; `mayTouch()` says whether a finger paints; `step()` how far an
      arrow key moves the brush. */
  constructor(view, hand, { mayTouch, step }) {
    Object.assign(this, { view, hand, mayTouch, step, fingers: new Map(), doing: null, isHeld: false, last: null });
    const { box } = view;
    const listen = (name, work) => box.addEventListener(name, work.bind(this), { passive: false });
    listen("pointerdown", this.down);
    listen("pointermove", this.moved);
    listen("pointerup", this.up);
    listen("pointercancel", this.lost);
    listen("pointerleave", this.away);
    listen("wheel", this.wheel);
    listen("keydown", this.key);
    listen("keyup", (event) => { if (event.code === "Space") this.isHeld = false; });
    listen("contextmenu", (event) => event.preventDefault());
  }

  down(event) {
    if (event.target.closest("button")) return;
    event.preventDefault();
    this.view.box.focus({ preventScroll: true });
    this.view.box.classList.add("pointed");
    this.view.box.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, event);
    if (this.fingers.size === 2) {
      if (this.doing === "paint") this.hand.cancel();
      this.doing = "pinch";
      this.pinch = this.pinched();
    } else if (this.fingers.size === 1) {
      this.begin(event);
    }
  }

  begin(event) {
    const isFinger = event.pointerType === "touch";
    if (event.button === 1 || this.isHeld || isFinger && !this.mayTouch()) {
      this.doing = "pan";
      this.last = event;
    } else if (event.button === 0 || event.button === 5) {
      if (event.altKey) {
        this.doing = "pick";
        this.hand.pick(...this.view.at(event));
      } else if (this.hand.begin(this.point(event))) {
        this.doing = "paint";
      }
    }
  }

  moved(event) {
    this.hover(event);
    if (!this.fingers.has(event.pointerId)) return;
    this.fingers.set(event.pointerId, event);
    if (this.doing === "pan") {
      this.view.pan(event.clientX - this.last.clientX, event.clientY - this.last.clientY);
      this.last = event;
    } else if (this.doing === "pick") {
      this.hand.pick(...this.view.at(event));
    } else if (this.doing === "paint") {
      const all = event.getCoalescedEvents?.() ?? [];
      for (const one of all.length ? all : [event]) this.hand.move(this.point(one));
    } else if (this.doing === "pinch" && this.fingers.size === 2) {
      const before = this.pinch;
      this.pinch = this.pinched();
      this.view.pan(this.pinch.x - before.x, this.pinch.y - before.y);
      this.view.zoom(this.pinch.apart / before.apart, this.pinch.x, this.pinch.y);
    }
  }

  up(event) {
    if (!this.fingers.delete(event.pointerId)) return;
    if (this.doing === "paint") this.hand.end();
    if (this.doing !== "pinch" || !this.fingers.size) this.doing = null;
  }

  lost(event) {
    if (this.doing === "paint") this.hand.cancel();
    this.fingers.delete(event.pointerId);
    if (!this.fingers.size) this.doing = null;
  }

  away() {
    this.view.brush = null;
    this.view.showAbove();
  }

  hover(event) {
    this.view.brush = event.pointerType === "touch" && !this.fingers.has(event.pointerId) ? null : this.view.at(event);
    this.view.showAbove();
  }

  wheel(event) {
    event.preventDefault();
    const { left, top } = this.view.box.getBoundingClientRect(), lines = event.deltaMode ? 20 : 1;
    this.view.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX - left, event.clientY - top);
  }

  /** Arrows move the brush, Enter puts one stamp, Space held and a drag moves the view. */
  key(event) {
    if (event.target !== this.view.box) return;
    this.view.box.classList.remove("pointed");
    if (event.code === "Space") this.isHeld = true;
    const arrow = ARROWS[event.key], { width, height, brush } = this.view;
    if (arrow && !event.ctrlKey && !event.metaKey) {
      const far = event.shiftKey ? 1 : this.step(), [x, y] = brush ?? [width / 2, height / 2];
      this.view.brush = [Math.min(width, Math.max(0, x + far * arrow[0])), Math.min(height, Math.max(0, y + far * arrow[1]))];
      this.view.showAbove();
    } else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey && brush) {
      if (this.hand.begin({ x: brush[0], y: brush[1], pressure: 1 })) this.hand.end();
    } else if (event.code !== "Space") {
      return;
    }
    event.preventDefault();
  }

  point(event) {
    const [x, y] = this.view.at(event);
    return { x, y, pressure: event.pointerType === "pen" ? event.pressure : 1 };
  }

  pinched() {
    const [one, other] = this.fingers.values(), { left, top } = this.view.box.getBoundingClientRect();
    const apart = Math.sqrt((one.clientX - other.clientX) ** 2 + (one.clientY - other.clientY) ** 2);
    return { x: (one.clientX + other.clientX) / 2 - left, y: (one.clientY + other.clientY) / 2 - top, apart: Math.max(1, apart) };
  }
}
