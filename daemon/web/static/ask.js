// Requests to the server that gave this page out; what it refuses is thrown as its one sentence.

export const GONE = "The server does not answer; is tiffsd web still running?";

export function guarded() {
  return { "X-Tiffsd-Csrf": document.querySelector("meta[name=csrf]")?.content ?? "" };
}

export function sentenceOf(status, text) {
  try {
    return JSON.parse(text).error || `The server refused it (${status}).`;
  } catch {
    return status === 401 ? "This page is no longer signed in; open the address again that tiffsd web has printed." : `The server refused it (${status}).`;
  }
}

// JSON in which whole numbers keep all their digits: seeds have 64 bits, and a number of JavaScript 53.
export function json(value) {
  if (typeof value === "bigint") return value.toString();
  if (Array.isArray(value)) return `[${value.map(json).join(",")}]`;
  if (value && typeof value === "object") return `{${Object.entries(value).map(([key, one]) => `${JSON.stringify(key)}:${json(one)}`).join(",")}}`;
  return JSON.stringify(value);
}

async function answered(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error(GONE);
  }
  if (!answer.ok) throw new Error(sentenceOf(answer.status, await answer.text()));
  return answer.json();
}

export function post(path, body) {
  return answered(path, { method: "POST", headers: { ...guarded(), "Content-Type": "application/json" }, body: json(body) });
}

let known = null;

// What the server knows of stages, settings, models; asked for once, and again where it could not be had.
export function knownFacts() {
  known ??= answered("facts").catch((error) => { known = null; throw error; });
  return known;
}

export function forgetFacts() { known = null; }
