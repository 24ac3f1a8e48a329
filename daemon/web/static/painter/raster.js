/* Strokes as integers, by rules that any other program can repeat to the level.

   A stroke is a row of stamps. A stamp of `size` pixels (a whole number) whose middle is at (x, y) covers the square of that side
   whose left is floor(x - size / 2 + 1/2) and whose top is the same of y. How much of each of its pixels it covers, 0..255:

     hardness 100   the disc that Pillow's ImageDraw.ellipse fills in that square, 255 within and 0 outside; of size 1 the pixel
     below          by the distance d of the pixel's centre from the square's, r = size / 2 and i = r hardness / 100:
                    255 where d <= i, 0 where d >= r, else floor(255 t t (3 - 2 t) + 1/2) with t = (r - d) / (r - i)

   A stamp of opacity o, 0..255, has the alpha (cover o + 127) div 255. Within one stroke the largest alpha counts, so nothing builds
   up. From a point to the next there are n = max(1, ceil(distance / max(1, size / 16))) stamps, of the smaller size of the two, at
   the fractions 1/n .. n/n of the way; the first point has one of its own. */

/** For each row of the disc of `size` pixels the first and the last column that it fills. */
export function discRows(size) {
  const side = size - 1, rows = [];
  let x = side, y = side % 2;
  const off = (across, down) => Math.abs(side * side * (down * down + across * across) - side ** 4);
  const reach = new Map([[y, x]]);
  while (x !== side % 2 || y !== side) {
    let [nextX, nextY, least] = [x, y + 2, off(x, y + 2)];
    if (nextX > 1) {
      for (const [otherX, otherY] of [[x - 2, y + 2], [x - 2, y]]) {
        const found = off(otherX, otherY);
        if (least > found) [nextX, nextY, least] = [otherX, otherY, found];
      }
    }
    [x, y] = [nextX, nextY];
    if (!reach.has(y)) reach.set(y, x);
  }
  for (let row = 0; row < size; row++) {
    const half = reach.get(Math.abs(2 * row - side));
    rows.push([(side - half) / 2, (side + half) / 2]);
  }
  return rows;
}

const known = new Map(), MOST_KNOWN = 96;

/** How much of each pixel of its square a stamp covers: `size` x `size` numbers 0..255. */
export function coverOf(size, hardness) {
  const key = size * 128 + hardness;
  let cover = known.get(key);
  if (!cover) {
    cover = hardness >= 100 ? hardCover(size) : softCover(size, hardness);
    if (known.size >= MOST_KNOWN) known.delete(known.keys().next().value);
    known.set(key, cover);
  }
  return cover;
}

function hardCover(size) {
  const cover = new Uint8Array(size * size);
  discRows(size).forEach(([first, last], row) => cover.fill(255, row * size + first, row * size + last + 1));
  return cover;
}

function softCover(size, hardness) {
  const cover = new Uint8Array(size * size), radius = size / 2, inner = radius * hardness / 100;
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const down = row + 0.5 - radius, across = column + 0.5 - radius, far = Math.sqrt(across * across + down * down);
      if (far >= radius) continue;
      const t = (radius - far) / (radius - inner);
      cover[row * size + column] = far <= inner ? 255 : Math.floor(255 * t * t * (3 - 2 * t) + 0.5);
    }
  }
  return cover;
}

/** The stamps from one point of a stroke to the next; of its first point, which has none before, one. */
export function stampsBetween(from, to) {
  if (!from) return [to];
  const across = to.x - from.x, down = to.y - from.y, size = Math.min(from.size, to.size);
  const count = Math.max(1, Math.ceil(Math.sqrt(across * across + down * down) / Math.max(1, size / 16)));
  return Array.from({ length: count }, (_, index) => {
    const part = (index + 1) / count;
    return { x: from.x + across * part, y: from.y + down * part, size, opacity: Math.min(from.opacity, to.opacity) };
  });
}

/** The square of a stamp. */
export function squareOf({ x, y, size }) {
  return { left: Math.floor(x - size / 2 + 0.5), top: Math.floor(y - size / 2 + 0.5), size };
}

/** The part of a rectangle that lies within `width` x `height`; null where none does. */
export function clipped({ left, top, right, bottom }, width, height) {
  const found = { left: Math.max(0, left), top: Math.max(0, top), right: Math.min(width, right), bottom: Math.min(height, bottom) };
  return found.left < found.right && found.top < found.bottom ? found : null;
}

/** The smallest rectangle around two, either of which may be null. */
export function around(one, other) {
  if (!one || !other) return one || other;
  return {
    left: Math.min(one.left, other.left), top: Math.min(one.top, other.top),
    right: Math.max(one.right, other.right), bottom: Math.max(one.bottom, other.bottom),
  };
}
