"use strict";
// A click on a header sorts by that column: ascending, descending, then as the page had it. Missing values stay last.
const number = (text) => (text.trim() === "" ? NaN : Number(text));
const compare = (a, b) => {
  const aText = Number.isNaN(number(a)), bText = Number.isNaN(number(b));
  if (aText !== bText) return aText - bText;
  if (aText) return a.localeCompare(b, "en", { numeric: true });
  return number(a) === number(b) ? 0 : number(a) - number(b); // two infinities are equal
};

for (const table of document.querySelectorAll("figure.table table")) {
  const body = table.tBodies[0];
  const asWritten = [...body.rows];
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
    const next = { none: "ascending", ascending: "descending", descending: "none" }[header.getAttribute("aria-sort")];
    headers.forEach((other) => other.setAttribute("aria-sort", "none"));
    header.setAttribute("aria-sort", next);
    const value = (row) => row.cells[column].dataset.sort;
    const direction = next === "descending" ? -1 : 1;
    const present = asWritten.filter((row) => value(row) !== undefined);
    const missing = asWritten.filter((row) => value(row) === undefined);
    const sorted = present.sort((a, b) => direction * compare(value(a), value(b)));
    body.append(...(next === "none" ? asWritten : [...sorted, ...missing]));
  }));
}

// Paper shows all that the screen folds away; a phone starts with the contents folded.
const folds = [...document.querySelectorAll("details")];
let open = [];
addEventListener("beforeprint", () => { open = folds.map((fold) => fold.open); folds.forEach((fold) => { fold.open = true; }); });
addEventListener("afterprint", () => folds.forEach((fold, i) => { fold.open = open[i]; }));
if (matchMedia("(max-width: 70rem)").matches) document.querySelector("nav.contents details").open = false;
