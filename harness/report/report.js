"use strict";
// Sorts the table of all rows by the column whose heading is pressed; what is missing comes last.
const table = document.getElementById("all");
const body = table.tBodies[0];
const headings = [...table.tHead.rows[0].cells];
const collator = new Intl.Collator("en", { numeric: true });

function compare(a, b) {
  if (a.missing || b.missing) return a.missing - b.missing;
  return a.number === null || b.number === null
    ? collator.compare(a.text, b.text) * a.sign
    : (a.number - b.number) * a.sign;
}

headings.forEach((heading, column) => {
  heading.firstElementChild.addEventListener("click", () => {
    const descending = heading.getAttribute("aria-sort") === "ascending";
    const keys = [...body.rows].map((row) => {
      const cell = row.cells[column];
      const number = cell.dataset.v === undefined ? null : Number(cell.dataset.v);
      const missing = cell.className === "none" || cell.textContent === "";
      return { row, number, missing, text: cell.textContent, sign: descending ? -1 : 1 };
    });
    keys.sort(compare);
    body.append(...keys.map((key) => key.row));
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  });
});

// Closed groups of figures and the words of claims would be missing in the print.
addEventListener("beforeprint", () => {
  for (const group of document.querySelectorAll("details.group, .claims details")) group.open = true;
});
