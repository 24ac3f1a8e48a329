/* What was there before somebody painted and saved, kept by this browser: when the page is opened again, the eraser still brings it
   back, "before" shows it, and what is painted is counted. An original belongs to one version of a file, the one that was saved. */

const NAME = "tiffsd-painter", STORE = "originals", MOST = 24;

function opened() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { autoIncrement: true }).createIndex("version", "version");
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

function done(asked) {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

/** Keep the original of a file that was saved in this version; the oldest goes where there are too many. */
export async function keep(version, original) {
  try {
    const store = (await opened()).transaction(STORE, "readwrite").objectStore(STORE);
    if (await done(store.index("version").getKey(version)) === undefined) await done(store.add({ version, original }));
    const keys = await done(store.getAllKeys());
    for (const key of keys.slice(0, Math.max(0, keys.length - MOST))) store.delete(key);
  } catch { /* a private window, or no room: it is forgotten when the page closes */ }
}

/** The original of a file in this version; null where none is known. */
export async function kept(version) {
  try {
    const store = (await opened()).transaction(STORE).objectStore(STORE);
    return (await done(store.index("version").get(version)))?.original ?? null;
  } catch {
    return null;
  }
}
