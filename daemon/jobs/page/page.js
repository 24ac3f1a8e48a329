"use strict";
(() => {
  const EVERY_MS = 5000, AT_ONCE = 60;
  const KINDS = { held: "Waits for you", running: "Running", failed: "Failed", waiting: "Waiting", done: "Done today" };
  const NOTHING = {
    held: "Nothing waits for you.", running: "Nothing runs.", failed: "Nothing has failed.", waiting: "Nothing waits in the inboxes.",
    done: "No picture was finished today.",
  };
  const FACTS = { seed: "seed", steps: "steps", scheduler: "", guidance_scale: "guidance", strength: "strength", model: "" };
  let data = null, writtenAt = "", words = [], told = "";
  const most = {}, sections = {}, byId = (id) => document.getElementById(id);
  // Where a server gives the page out, its own script offers buttons in the place of commands.
  const web = () => globalThis.tiffsdWeb;

  // What files and people say gets into the page as text only, never as markup.
  function element(tag, attributes = {}, ...inner) {
    const made = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== undefined) made.setAttribute(key, value);
    made.append(...inner.filter((part) => part !== null && part !== undefined && part !== ""));
    return made;
  }

  // --- words

  function number(count) { return count.toLocaleString("en"); }

  function age(since) {
    const minutes = Math.max(0, (Date.now() - new Date(since)) / 60000);
    if (!(minutes >= 1)) return "just now";
    if (minutes < 60) return `${Math.floor(minutes)} min ago`;
    if (minutes < 60 * 24) return `${Math.floor(minutes / 60)} h ago`;
    const days = Math.floor(minutes / 60 / 24);
    return days === 1 ? "1 day ago" : `${days} days ago`;
  }

  function clock(at) { return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }); }

  function time(since) { return element("time", { datetime: since, title: new Date(since).toLocaleString() }, age(since)); }

  function allWords(entry) {
    const parts = [entry.name, entry.job, entry.prompt, entry.unread, entry.reason, entry.stage, entry.owner, ...(entry.settings || []).flat()];
    return parts.join(" ").normalize("NFKC").toLowerCase();
  }

  // --- one entry

  function picture(entry) {
    if (!entry.picture) return null;
    const what = { held: entry.painted ? "What the paint leads to" : entry.proof ? "Proof" : "Preview", running: "How the picture would be by now", done: "Picture" }[entry.kind] || "Preview";
    const image = element("img", { src: entry.picture, alt: `${what}: ${entry.prompt || entry.name}`, loading: "lazy", decoding: "async" });
    if (entry.kind !== "done" && entry.kind !== "running" && !entry.proof) image.className = "noise";
    image.addEventListener("error", () => {
      const figure = image.closest("figure");
      if (figure) { figure.className = "blank"; figure.replaceChildren("No picture that a browser shows"); }
    });
    return element("figure", {}, element("a", { href: entry.picture.split("?")[0], target: "_blank", rel: "noopener", "data-key": "picture" }, image));
  }

  function prompt(entry) {
    if (entry.prompt) return element("p", { class: "prompt" }, entry.prompt);
    return entry.unread && entry.kind !== "failed" ? element("p", { class: "prompt unread" }, `Prompt not known: ${entry.unread}`) : null;
  }

  function facts(entry) {
    const said = Object.fromEntries(entry.settings || []), line = element("p", { class: "facts" });
    const put = (label, value) => line.append(line.childNodes.length ? " \u00b7 " : "", label ? `${label} ` : "", element("b", {}, value));
    for (const [key, label] of Object.entries(FACTS)) if (key in said) put(label, said[key]);
    if (said.width && said.height) put("", `${said.width} \u00d7 ${said.height}`);
    return line.childNodes.length ? line : null;
  }

  function settings(entry) {
    const said = (entry.settings || []).filter(([key]) => !(key in FACTS) && key !== "width" && key !== "height");
    if (!said.length) return null;
    const list = element("dl", {}, ...said.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, value)]));
    return element("details", {}, element("summary", { "data-key": "settings" }, "All settings"), list);
  }

  function way(entry) {
    if (!entry.way || !entry.way.length) return null;
    const steps = entry.way.map(([stage, seconds, byHand]) =>
      element("li", {}, byHand ? element("em", {}, `${byHand}, then `) : "", stage, seconds ? ` ${seconds} s` : ""));
    return element("div", { class: "way" }, element("ol", { "aria-label": "Its way through the stages" }, ...steps));
  }

  function command(text) {
    const code = element("code", {}, text), button = element("button", { type: "button", "data-key": "copy", "aria-label": `Copy ${text}` }, "Copy");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
    });
    return element("div", { class: "command" }, code, button);
  }

  function sentence(...parts) { return element("p", {}, ...parts); }

  function code(text) { return element("code", {}, text); }

  function file(entry, text, target) { return element("a", { href: target || entry.link, "data-key": text }, text); }

  const HOW = {
    held: (entry) => [
      entry.command && command(entry.command),
      entry.move && sentence("or move it from ", code(entry.move[0]), " to ", code(entry.move[1])),
      entry.painted ? sentence("Somebody painted on ", code(entry.proof), "; the picture shows what that leads to. ", code("tiffsd apply"), " takes it now.")
        : entry.proof ? sentence("To change it first, paint on ", code(entry.proof), " in any editor: only what you painted becomes other.")
        : entry.paint && sentence("To change it first, open ", code(entry.path), " in an editor that keeps 32 bits, paint, save."),
    ],
    running: (entry) => [entry.command && command(entry.command), sentence("or delete ", code(entry.path), " to cancel it")],
    failed: (entry) => [
      sentence("Put right what the sentence names, then try it again:"),
      entry.command && command(entry.command),
      element("p", {}, file(entry, "Its files"), " \u00b7 ", file(entry, "The whole report", entry.report)),
    ],
    waiting: () => [],
    done: () => [],
  };

  function progress(entry) {
    if (entry.kind !== "running") return null;
    const left = /, (.+ left)$/.exec(entry.pace || "");
    if (!entry.steps) return element("p", { class: "left" }, entry.reason || "");
    const bar = element("progress", { value: entry.step, max: entry.steps, "aria-label": `Step ${entry.step} of ${entry.steps}` });
    const figures = element("p", { class: "left" }, element("span", {}, `step ${number(entry.step)} of ${number(entry.steps)}`), element("span", {}, left ? left[1] : ""));
    return element("div", {}, bar, figures);
  }

  function reason(entry) {
    if (!entry.reason || entry.kind === "running" || entry.kind === "held") return null;
    return element("p", { class: entry.kind === "failed" ? "sentence" : "facts" }, entry.reason);
  }

  function about(entry) {
    const stage = entry.stage && `${{ held: "before ", waiting: "for " }[entry.kind] || ""}${entry.stage}`;
    const state = entry.kind === "held" && entry.reason;
    const files = (entry.files || []).map(([ending, target]) => file(entry, ending, target));
    const name = entry.kind === "running" || entry.kind === "done" ? entry.kind === "running" && entry.name.replace(/\.txt$/, "") : file(entry, entry.name);
    const parts = [stage, state, name, ...files, time(entry.since), entry.owner].filter(Boolean);
    return element("p", { class: "facts" }, ...parts.flatMap((part, index) => index ? [" \u00b7 ", part] : [part]));
  }

  function build(entry) {
    const buttons = web()?.how(entry), how = buttons ? [buttons] : HOW[entry.kind](entry).filter(Boolean), shows = picture(entry);
    const acts = how.length ? element("div", { class: "how" }, ...how) : null;
    const [first, then] = entry.kind === "waiting" ? [[prompt(entry), reason(entry), about(entry)], []]
      : entry.kind === "failed" ? [[reason(entry), prompt(entry)], [about(entry), settings(entry)]]
      : [[reason(entry), prompt(entry), progress(entry)], [facts(entry), way(entry), about(entry), settings(entry)]];
    const text = element("div", { class: "words" }, ...(buttons ? [...first, acts, ...then] : [...first, ...then, acts]));
    // Without a proof it is latents in colours, which are nothing to look at for long.
    const size = !shows ? "entry bare" : entry.kind === "held" && !entry.proof ? "entry rough" : "entry";
    return element("div", { class: size }, shows, text);
  }

  // --- keeping what is there: an entry that says the same stays the same element, with its scroll, focus and open details

  function exchange(old, made) {
    const details = [old.querySelector("details"), made.querySelector("details")];
    if (details[0] && details[1]) details[1].open = details[0].open;
    const images = [old.querySelector("img"), made.querySelector("img")];
    if (images[0] && images[1] && images[0].getAttribute("src") === images[1].getAttribute("src")) images[1].replaceWith(images[0]);
    const key = old.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    old.replaceWith(made);
    if (key) made.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  }

  function arrange(parent, wanted) {
    const kept = new Set(wanted);
    for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
    let next = parent.firstElementChild;
    for (const child of wanted) {
      if (child === next) next = next.nextElementSibling;
      else parent.insertBefore(child, next);
    }
  }

  function grouped(entries) {
    const jobs = new Map();
    for (const entry of entries) {
      if (!jobs.has(entry.job)) jobs.set(entry.job, []);
      jobs.get(entry.job).push(entry);
    }
    return jobs;
  }

  function shownJob(section, job, entries) {
    let known = section.jobs.get(job);
    if (!known) {
      const title = element("span"), many = element("div", { class: "many" });
      known = { root: element("article", { class: "job" }, element("h3", {}, element("bdi", {}, job), title), many), title, many, entries: new Map() };
      section.jobs.set(job, known);
    }
    const before = known.entries;
    known.entries = new Map();
    for (const entry of entries) {
      const key = `${entry.path} ${entry.name}`, text = JSON.stringify(entry), old = before.get(key);
      if (old && old.text === text) { known.entries.set(key, old); continue; }
      const made = build(entry);
      if (old) exchange(old.root, made);
      known.entries.set(key, { text, root: made });
    }
    arrange(known.many, [...known.entries.values()].map((one) => one.root));
    known.title.textContent = entries.length > 1 ? number(entries.length) : "";
    known.root.className = `job ${["", "", "two", "three"][Math.min(entries.length, 3)]}`;
    return known.root;
  }

  function found(kind) {
    const all = data.entries[kind] || [];
    return words.length ? all.filter((entry) => { const said = allWords(entry); return words.every((word) => said.includes(word)); }) : all;
  }

  function show(kind) {
    const section = sections[kind], all = data.entries[kind] || [], count = data.counts[kind], shows = found(kind);
    const jobs = grouped(shows.slice(0, most[kind]));
    const roots = [...jobs].map(([job, entries]) => shownJob(section, job, entries));
    for (const job of section.jobs.keys()) if (!jobs.has(job)) section.jobs.delete(job);
    arrange(section.list, roots);
    section.count.textContent = words.length ? `${number(shows.length)} of ${number(count)}` : number(count);
    section.none.textContent = shows.length ? "" : words.length ? "Nothing of that name, and nothing with these words." : NOTHING[kind];
    section.root.classList.toggle("empty", !shows.length && !words.length);
    const left = shows.length - most[kind];
    section.more.hidden = left <= 0;
    section.more.textContent = `Show ${Math.min(left, AT_ONCE)} more of ${number(left)}`;
    const untold = count - all.length;
    section.rest.hidden = untold <= 0;
    const listing = kind === "done" ? ["They lie in ", code("pictures/")] : [code(`tiffsd list ${kind}`), " has them all"];
    if (untold > 0) section.rest.replaceChildren(`${number(untold)} more are not on this page. `, ...listing, ".");
    section.tab.textContent = number(count);
    section.link.toggleAttribute("data-calls", (kind === "held" || kind === "failed") && count > 0);
    return shows.length;
  }

  function computing() {
    const machines = data.alive ? data.machines || [] : [];
    return machines.length ? ` Machines that compute: ${machines.map((one) => `${one.name} (${one.state})`).join(", ")}.` : "";
  }

  function tell() {
    const line = (text, ...more) => element("p", {}, text, ...more);
    const resume = (stage) => web() ? line(`${stage.folder} is paused. `, web().resume(stage)) : line(`${stage.folder} is paused; tiffsd resume ${stage.name} lets it go on.`);
    const paused = (data.stages || []).filter((stage) => stage.paused), failing = (data.stages || []).filter((stage) => stage.degraded);
    const down = data.alive ? [] : ["The daemon does not run. This is what it said last; start it with tiffsd run, or its service."];
    const key = JSON.stringify([down, data.complaints || [], failing.map((stage) => stage.degraded), paused.map((stage) => stage.name), Boolean(web())]);
    if (told === key) return;
    told = key;
    const lines = [...down, ...(data.complaints || []), ...failing.map((stage) => `${stage.folder}: ${stage.degraded}`)].map((text) => line(text));
    const rests = paused.map(resume);
    for (const one of rests) one.className = "rests";
    byId("told").replaceChildren(...lines, ...rests);
    byId("told").hidden = !lines.length && !rests.length;
  }

  function render() {
    const sum = Object.keys(KINDS).map(show).reduce((sum, one) => sum + one, 0);
    tell();
    const { held, running, failed, waiting, done } = data.counts;
    const says = words.length ? `${number(sum)} found` : [
      held === 1 ? "1 waits for you" : `${number(held)} wait for you`, `${number(running)} running`, ...(failed ? [`${number(failed)} failed`] : []),
      `${number(waiting)} waiting`, `${number(done)} done today`].join(", ");
    // A screen reader says it whenever it changes, so it is left alone while it does not.
    if (byId("summary").textContent !== says) byId("summary").textContent = says;
    document.title = held ? `(${number(held)}) tiffsd` : "tiffsd";
    byId("as-of").textContent = `As of ${clock(writtenAt)}, when it last changed. ${web()?.follows || "This page looks again every 5 seconds."}${computing()}`;
    for (const one of document.querySelectorAll("time")) {
      const text = age(one.dateTime);
      if (one.textContent !== text) one.textContent = text;
    }
    web()?.rendered(data, Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, found(kind)])));
  }

  // --- the frame

  function frame() {
    for (const [kind, title] of Object.entries(KINDS)) {
      most[kind] = AT_ONCE;
      const count = element("span"), tab = element("b"), link = element("a", { href: `#${kind}` }, title, tab);
      const list = element("div", { class: "jobs" }), none = element("p", { class: "none" }), rest = element("p", { class: "rest" });
      const more = element("button", { type: "button", class: "more" });
      more.addEventListener("click", () => {
        const from = list.children.length;
        most[kind] += AT_ONCE;
        render();
        const next = list.children[from]?.querySelector("a, button");
        if (more.hidden && next) next.focus({ preventScroll: true });
      });
      const root = element("section", { id: kind, class: kind, tabindex: "-1", "aria-labelledby": `${kind}-title` });
      root.append(element("h2", { id: `${kind}-title` }, title, count), none, list, more, rest);
      sections[kind] = { root, count, tab, link, list, none, rest, more, jobs: new Map() };
      byId("main").append(root);
      byId("sections").append(link);
    }
    byId("search").addEventListener("submit", (event) => event.preventDefault());
    byId("words").addEventListener("input", () => {
      words = byId("words").value.normalize("NFKC").toLowerCase().split(/\s+/).filter(Boolean);
      for (const kind of Object.keys(KINDS)) most[kind] = AT_ONCE;
      if (data) render();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target.closest?.("input, textarea, select, dialog")?.checkVisibility();
      if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !typing) {
        event.preventDefault();
        byId("words").focus();
      }
    });
    byId("search").hidden = byId("sections").hidden = false;
  }

  // A page that was opened as a file may read nothing but scripts.
  let reading = null, missed = false;
  function read() {
    missed = Boolean(reading);
    if (document.hidden || reading) return;
    reading = element("script", { src: `index.js?${Date.now()}` });
    const ended = () => {
      reading.remove();
      reading = null;
      if (missed) read();
    };
    reading.addEventListener("load", ended);
    reading.addEventListener("error", () => {
      ended();
      byId("summary").textContent = "index.js cannot be read, it is tried again: is the share still there?";
    });
    document.head.append(reading);
  }

  function rebuild() {
    for (const section of Object.values(sections)) for (const job of section.jobs.values()) for (const one of job.entries.values()) one.text = "";
    if (data) render();
  }

  function taken(at, said) {
    [writtenAt, data] = [at, said];
    render();
  }

  const parts = { element, number, time, picture, prompt, facts, way, progress, arrange, exchange };
  Object.defineProperty(window, "tiffsdPage", { value: Object.assign(taken, { read, rebuild, parts }) });
  frame();
  read();
  setInterval(() => { if (!web()?.isLive()) read(); }, EVERY_MS);
  document.addEventListener("visibilitychange", read);
})();
