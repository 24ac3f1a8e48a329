// Where an entry goes that had the focus, the one in its place gets it, so that nobody begins again at the top of the page.

let last = null;

document.addEventListener("focusin", (event) => {
  const one = event.target.closest(".entry, .card"), group = one?.closest("section");
  last = one && group ? { one, group, index: members(group).indexOf(one) } : null;
});

function members(group) { return [...group.querySelectorAll(".entry, .card")]; }

export function keepFocus() {
  if (!last || last.one.isConnected || document.activeElement !== document.body) return;
  const next = members(last.group)[last.index] ?? members(last.group).at(-1);
  (next?.querySelector(".acts button, .acts a, a, button") ?? last.group).focus({ preventScroll: true });
}
