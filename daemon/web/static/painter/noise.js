/* Noise from a seed, so that it can be drawn again: stroke k of the seed s has the state that splitmix32 gives from s + k, four
   words of it, for xoshiro128**; two of its numbers u, v in 0..1 are two of the normal distribution by Box and Muller:
   sqrt(-2 ln(1 - u)) cos(2 pi v) and the same with sin. */

export function words(seed) {
  let at = seed >>> 0;
  const state = Uint32Array.from({ length: 4 }, () => {
    at = at + 0x9e3779b9 >>> 0;
    let mixed = Math.imul(at ^ at >>> 16, 0x21f0aaad);
    mixed = Math.imul(mixed ^ mixed >>> 15, 0x735a2d97);
    return mixed ^ mixed >>> 15;
  });
  const turned = (word, by) => word << by | word >>> 32 - by;
  return () => {
    const found = Math.imul(turned(Math.imul(state[1], 5), 7), 9) >>> 0, shifted = state[1] << 9;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = turned(state[3], 11);
    return found;
  };
}

/** So many numbers of the normal distribution, float32. */
export function normal(seed, count) {
  const next = words(seed), found = new Float32Array(count), unit = 2 ** -32;
  for (let at = 0; at < count; at += 2) {
    const far = Math.sqrt(-2 * Math.log(1 - next() * unit)), turn = 2 * Math.PI * next() * unit;
    found[at] = far * Math.cos(turn);
    if (at + 1 < count) found[at + 1] = far * Math.sin(turn);
  }
  return found;
}

/** Noise as latents have it: unit noise where they are noise, else of the mean and the deviation of each of their channels. */
export function noiseLike(latents, state, seed) {
  const found = normal(seed, latents.original.length), area = latents.width * latents.height;
  if (state === "noise") return found;
  for (let channel = 0; channel < latents.planes; channel++) {
    const values = latents.original.subarray(channel * area, (channel + 1) * area);
    const mean = values.reduce((sum, value) => sum + value, 0) / area;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / area);
    for (let at = channel * area; at < (channel + 1) * area; at++) found[at] = mean + deviation * found[at];
  }
  return found;
}
