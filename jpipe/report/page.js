"use strict";
// The theme follows the system until the button says otherwise; a file has no other memory than this page's.
const root = document.documentElement;
document.getElementById("theme").addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});
document.getElementById("print").addEventListener("click", () => window.print());
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));
// A place in the page may be in something folded.
function unfold() {
  const meant = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (meant && meant.tagName === "DETAILS") { meant.open = true; meant.scrollIntoView(); }
}
window.addEventListener("hashchange", unfold);
unfold();
// Heard here, since a live page has its contents replaced.
document.addEventListener("click", (event) => {
  const bar = event.target.closest("[data-place]");
  if (bar) { location.assign(bar.dataset.place); unfold(); }
  const head = event.target.closest("table.jp-steps thead button")?.parentElement;
  if (head) sort(head, head.getAttribute("aria-sort") === "descending");
});
function sort(head, up) {
  const body = head.closest("table").tBodies[0];
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const key = (row) => row.cells[head.cellIndex].dataset.key;
  const numeric = head.dataset.kind === "number";
  const rows = Array.from(body.rows).sort((a, b) => {
    const order = numeric ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b));
    return up ? order : -order;
  });
  body.append(...rows);
}
// Puts what a newer page holds in the place of this one's, and leaves open, sorted, scrolled and in focus what is.
function renew(newer) {
  const name = (one) => one.id || one.firstElementChild.textContent;
  const open = new Set(Array.from(document.querySelectorAll("details[open]"), name));
  const known = new Set(Array.from(document.querySelectorAll("details"), name));
  const sorted = Array.from(document.querySelectorAll("th[aria-sort]"), (one) => [one.cellIndex, one.ariaSort]);
  const scrolled = Array.from(document.querySelectorAll(".jp-scroll"), (one) => [one.scrollLeft, one.scrollTop]);
  const stops = () => Array.from(document.querySelectorAll("main :is(a, button, summary, [tabindex])"));
  const focus = stops().indexOf(document.activeElement);
  for (const part of ["header", "main"]) document.querySelector(part).replaceWith(newer.querySelector(part));
  document.querySelectorAll("details").forEach((one) => { if (known.has(name(one))) one.open = open.has(name(one)); });
  document.querySelectorAll("table.jp-steps thead").forEach((one, at) => {
    if (sorted[at]) sort(one.rows[0].cells[sorted[at][0]], sorted[at][1] === "ascending");
  });
  document.querySelectorAll(".jp-scroll").forEach((one, at) => one.scrollTo(...(scrolled[at] || [0, 0])));
  if (focus >= 0) stops()[focus]?.focus({ preventScroll: true });
}
