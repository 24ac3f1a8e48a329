/* What the painter asks of its server. What goes wrong is an Error whose message is a sentence for people, and whose `status` is 409
   where somebody else has written the file. */

const meta = (name) => document.querySelector(`meta[name="${name}"]`).content;

export const path = meta("path");
// As the address has it: a name may hold bytes that no text can say.
const link = /[?&]path=([^&]*)/.exec(location.search)[1].replaceAll("+", "%20").replace(/%2F/gi, "/");

async function asked(address, options) {
  let answer;
  try {
    answer = await fetch(address, { cache: "no-store", ...options });
  } catch {
    throw new Error("The server of this page does not answer; your paint is still here. Start tiffsd web again, and try once more.");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(said.error ?? `The server answered ${answer.status}.`), { status: answer.status });
}

const at = (what, more = {}, of = path) => `painter/${what}?path=${of === path ? link : encodeURIComponent(of)}&${new URLSearchParams(more)}`;
const sent = (body, headers = {}) => ({ method: "POST", body, headers: { "X-Tiffsd-Csrf": meta("csrf"), ...headers } });

function facts(answer) {
  const said = (name) => answer.headers.get(`X-Tiffsd-${name}`);
  return { version: said("Version"), stamp: said("Stamp"), size: said("Size").split(",").map(Number) };
}

export const state = async (id = "") => (await asked(at("state", { id }))).json();
export const sources = async () => (await (await asked(at("sources"))).json()).sources;

export async function picture(of = path) {
  const answer = await asked(at("picture", {}, of));
  return { ...facts(answer), levels: new Uint8Array(await answer.arrayBuffer()) };
}

export async function latents(of = path) {
  const answer = await asked(at("latents", {}, of));
  return { ...facts(answer), values: new Float32Array(await answer.arrayBuffer()) };
}

export const savePicture = async (version, levels) => (await asked(at("picture", { version }), sent(levels))).json();

export async function saveLatents(version, mask, values) {
  const answer = await asked(at("latents", { version }), sent(new Blob([mask, values])));
  return { ...facts(answer), values: new Float32Array(await answer.arrayBuffer()) };
}

export const act = async (name) => (await asked("acts", sent(JSON.stringify({ act: name, link }), { "Content-Type": "application/json" }))).json();

/** A picture of the spool, decoded to be shown. */
export async function shown({ path: of, stamp }) {
  const where = of.split("/").map(encodeURIComponent).join("/");
  const answer = await asked(`${where}?${encodeURIComponent(stamp)}`);
  return createImageBitmap(await answer.blob());
}
