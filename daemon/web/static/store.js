// What the browser remembers of one person, where it may remember anything.

export function remembered(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`tiffsd.${key}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function remember(key, value) {
  try {
    localStorage.setItem(`tiffsd.${key}`, JSON.stringify(value));
  } catch { /* a private window: it is forgotten when the page closes */ }
}
