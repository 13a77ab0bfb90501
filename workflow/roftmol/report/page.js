"use strict";

// ---- Tables: sort by a column, keep the rows that hold every word typed, show the first ones, save all of them.

// Numbers by value, words by language, what is empty always last.
function sortTable(table, column, descending) {
  const key = (row) => {
    const cell = row.cells[column];
    const text = cell.dataset.sort ?? cell.textContent;
    const number = Number(text);
    return text === "" ? null : Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  const rows = Array.from(table.tBodies[0].rows, (row) => [key(row), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return descending ? compare(b, a) : compare(a, b);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

// The first rows of those that filter and search leave; a button shows the others. A narrow window shows rows as cards.
const narrow = window.matchMedia("(max-width: 73rem)");
const first = () => (narrow.matches ? 5 : 10);
const refreshers = [];
function refreshRows() {
  for (const refresh of refreshers) refresh();
}

function button(text, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.addEventListener("click", action);
  return made;
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// All rows as comma-separated text, whatever is shown of them, with the columns that are equal in all rows.
function csv(table) {
  const same = Object.entries(JSON.parse(table.dataset.same ?? "{}"));
  const plain = (text) => text.replaceAll("\u2212", "-").replaceAll("\u00a0", " ").trim();
  const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const line = (cells, more) => [...Array.from(cells, (cell) => cell.textContent), ...more].map(plain).map(quote).join(",");
  const head = line(table.tHead.rows[0].cells, same.map(([title]) => title));
  const rows = Array.from(table.tBodies[0].rows, (row) => line(row.cells, same.map(([, text]) => text)));
  return [head, ...rows].join("\n") + "\n";
}

const file = (title) => title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");

// Buttons below a box: the first one shows the first `few` of its items, or all of them. A rest of `spare` is not hidden.
function folding(box, items, few, spare, what) {
  const tools = document.createElement("div");
  tools.className = "tools";
  let all = false;
  const more = button("", () => {
    all = !all;
    refresh();
  });
  const refresh = () => {
    const shown = Array.from(items).filter((one) => !one.hidden);
    const folds = shown.length > few() + spare;
    shown.forEach((one, place) => one.classList.toggle("rest", !all && folds && place >= few()));
    more.hidden = !folds;
    more.textContent = all ? `Show the first ${few()}${what}` : `Show all ${shown.length}${what}`;
    more.setAttribute("aria-expanded", String(all));
  };
  tools.append(more);
  box.after(tools);
  refreshers.push(refresh);
  return { tools, refresh };
}

for (const table of document.querySelectorAll("table")) {
  const box = table.parentElement;
  const { tools, refresh } = folding(box, table.tBodies[0].rows, first, 2, " rows");
  const name = `${file(box.getAttribute("aria-label"))}.csv`;
  tools.append(button("Save as CSV", () => save(name, new Blob([csv(table)], { type: "text/csv" }))));
  // Whether a table fits changes with the window, with folds that open and with the rows that are shown.
  new ResizeObserver(() => {
    box.classList.remove("numbers", "whole");
    for (const unbroken of ["numbers", "whole"]) {
      box.classList.add(unbroken);
      if (box.scrollWidth > box.clientWidth) box.classList.remove(unbroken);
    }
    const cut = box.scrollWidth > box.clientWidth;
    box.classList.toggle("cut", cut);
    box.classList.toggle("fits", !cut);
  }).observe(box);
  const headers = Array.from(table.tHead.rows[0].cells);
  headers.forEach((header, column) => {
    header.firstElementChild.addEventListener("click", () => {
      const descending = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sortTable(table, column, descending);
      refresh();
    });
  });
}

// Of many panels or cards, too, the first ones.
for (const box of document.querySelectorAll(".panels, .answers")) {
  folding(box, box.children, () => (narrow.matches ? 2 : 6), 0, "");
}

// What hides an element: the filters, the search box of its table, or both.
const hiddenBy = new Map();
function hide(element, reason, hidden) {
  const reasons = hiddenBy.get(element) ?? new Set();
  hiddenBy.set(element, reasons);
  if (hidden) reasons.add(reason);
  else reasons.delete(reason);
  element.hidden = reasons.size > 0;
}

const searches = Array.from(document.querySelectorAll(".filter"), (box) => {
  const rows = Array.from(box.nextElementSibling.querySelector("tbody").rows);
  const input = box.querySelector("input");
  const search = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = Array.from(row.cells, (cell) => cell.textContent).join(" ").toLowerCase();
      hide(row, "search", !words.every((word) => text.includes(word)));
    }
    const shown = rows.filter((row) => !row.hidden).length;
    box.querySelector("[role=status]").textContent = shown < rows.length ? `${shown} of ${rows.length} rows` : "";
  };
  box.hidden = false;
  input.addEventListener("input", () => {
    search();
    refreshRows();
  });
  return search;
});

// ---- Figures of one kind: one is seen, buttons turn to the others. What the filters hide has no button.

for (const box of document.querySelectorAll(".turns")) {
  const figures = Array.from(box.querySelectorAll("figure"));
  if (figures.length < 2) continue;
  // A figure goes by what its title says after the kind, without what all titles say.
  const parts = figures.map((figure) => figure.querySelector("h3").textContent.replace(/^.*?: /, "").split(/, | (?=\()/));
  const words = (own) => own.filter((part) => !parts.every((others) => others.includes(part))).join(", ");
  const turn = document.createElement("div");
  turn.className = "turn";
  let shown = figures[0];
  const buttons = figures.map((figure, place) =>
    button(words(parts[place]) || String(place + 1), () => {
      shown = figure;
      refresh();
    }),
  );
  const refresh = () => {
    if (shown.hidden) shown = figures.find((figure) => !figure.hidden) ?? shown;
    figures.forEach((figure, place) => {
      figure.classList.toggle("turned", figure !== shown);
      buttons[place].hidden = figure.hidden;
      buttons[place].setAttribute("aria-pressed", String(figure === shown));
    });
    turn.hidden = figures.filter((figure) => !figure.hidden).length < 2;
  };
  turn.append(...buttons);
  box.prepend(turn);
  refreshers.push(refresh);
}

refreshRows();
narrow.addEventListener("change", refreshRows);

// ---- Pictures: what the page holds is saved without the folder, as it is or as points for slides.

for (const link of document.querySelectorAll("figure .save")) {
  const picture = link.closest("figure").querySelector("img");
  if (!picture) continue;
  link.href = picture.src;
  const points = button("Save as PNG", () => {
    const canvas = document.createElement("canvas");
    const scale = 2000 / picture.naturalWidth;
    canvas.width = 2000;
    canvas.height = Math.round(picture.naturalHeight * scale);
    canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => save(link.download.replace(/\.svg$/, ".png"), blob));
  });
  points.className = "save";
  link.after(points);
}

// ---- Folds: whoever goes to a section that is folded wants it open.

function unfold(section) {
  for (let fold = section?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  const whole = section?.querySelector(":scope > details.whole");
  if (whole) whole.open = true;
}
const unfoldAddressed = () => unfold(document.getElementById(location.hash.slice(1)));
window.addEventListener("hashchange", unfoldAddressed);
unfoldAddressed();
for (const link of document.querySelectorAll('a[href^="#"]')) {
  link.addEventListener("click", () => unfold(document.getElementById(link.hash.slice(1))));
}

// ---- Filters: what has one of the chosen values of a facet, or does not know the facet, stays.

const form = document.getElementById("filters");
const selects = Array.from(form?.querySelectorAll("select") ?? []);
const filtered = selects.length
  ? document.querySelectorAll(selects.map(({ name }) => `main [data-${name}]`).join(","))
  : [];

const state = () => selects.filter(({ value }) => value).map(({ name, value }) => [name, value]);

function applyFilters() {
  const chosen = state();
  for (const element of filtered) {
    const others = ([name, value]) => name in element.dataset && !element.dataset[name].split("\n").includes(value);
    hide(element, "filter", chosen.some(others));
  }
  for (const search of searches) search();
  refreshRows();
  for (const box of document.querySelectorAll("main .scroll")) {
    box.classList.toggle("empty", !box.querySelector("tbody tr:not([hidden])"));
  }
  // A section or a fold of figures alone goes with the last of them.
  for (const group of document.querySelectorAll("main section, main details")) {
    const figures = Array.from(group.querySelectorAll("figure"));
    const more = group.querySelector("table, .panel");
    if (figures.length && !more) hide(group, "empty", figures.every((figure) => figure.hidden));
  }
  for (const link of document.querySelectorAll("nav a")) {
    link.parentElement.hidden = document.getElementById(link.hash.slice(1)).hidden;
  }
  const conditions = document.querySelectorAll("#conditions tbody tr");
  const shown = Array.from(conditions).filter((row) => !row.hidden).length;
  const over = chosen.length ? ", the verdict is over all" : "";
  form.querySelector("output").textContent = `${shown} of ${conditions.length} conditions${over}`;
  form.querySelector("button").disabled = !chosen.length;
}

// The state lives in the address, #dataset=bbbp&budget=50, so that a view can be shared. A heading to go to stands in
// it as "at"; an address without "=" is a heading's alone and leaves the filters as they are.
function writeAddress(at) {
  const parts = new URLSearchParams(at ? [...state(), ["at", at]] : state()).toString();
  history.replaceState(null, "", parts ? `#${parts}` : location.pathname + location.search);
}

function readAddress() {
  if (!location.hash.includes("=")) return;
  const wanted = new URLSearchParams(location.hash.slice(1));
  for (const select of selects) {
    select.value = wanted.get(select.name) ?? "";
    if (select.selectedIndex < 0) select.value = "";
  }
  applyFilters();
  const at = document.getElementById(wanted.get("at"));
  unfold(at);
  at?.scrollIntoView();
}

if (form) {
  form.hidden = false;
  applyFilters();
  readAddress();
  window.addEventListener("hashchange", readAddress);
  form.addEventListener("change", () => {
    applyFilters();
    writeAddress();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => {
    // The event comes before the values change.
    setTimeout(() => {
      applyFilters();
      writeAddress();
    });
  });
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      const target = document.getElementById(link.hash.slice(1));
      if (!state().length || !target) return;
      event.preventDefault();
      writeAddress(target.id);
      target.scrollIntoView();
      target.tabIndex = -1;
      target.focus({ preventScroll: true });
    });
  }
}

// ---- The chart: a row's values beside it, by pointer or keyboard. A panel is one stop of Tab, arrow keys move within.

const tip = document.createElement("div");
tip.id = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true"); // the rows say the same by their labels
document.body.append(tip);

function showTip(row) {
  const [title, ...lines] = row.getAttribute("aria-label").split("\n");
  const heading = document.createElement("strong");
  heading.textContent = title;
  tip.replaceChildren(heading, ...lines.flatMap((line) => [document.createElement("br"), line]));
  tip.hidden = false;
  const place = row.getBoundingClientRect();
  const left = Math.min(place.left + place.width / 3, document.documentElement.clientWidth - tip.offsetWidth - 8);
  const below = place.bottom + 6;
  const top = below + tip.offsetHeight < window.innerHeight ? below : place.top - tip.offsetHeight - 6;
  tip.style.left = `${Math.max(8, left) + window.scrollX}px`;
  tip.style.top = `${top + window.scrollY}px`;
}

const hideTip = () => {
  tip.hidden = true;
};

for (const chart of document.querySelectorAll(".panel svg")) {
  const rows = Array.from(chart.querySelectorAll(".row"));
  rows.forEach((row, place) => {
    // A title would open a tooltip of the browser's own beside ours.
    const title = row.querySelector("title");
    row.setAttribute("aria-label", title.textContent);
    title.remove();
    row.setAttribute("tabindex", place ? "-1" : "0");
    row.addEventListener("pointerenter", () => showTip(row));
    row.addEventListener("pointerleave", hideTip);
    row.addEventListener("focus", () => showTip(row));
    row.addEventListener("blur", hideTip);
    row.addEventListener("keydown", (event) => {
      const steps = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: rows.length - 1 };
      const next = rows[steps[event.key]];
      if (event.key === "Escape") hideTip();
      if (!next) return;
      event.preventDefault();
      row.setAttribute("tabindex", "-1");
      next.setAttribute("tabindex", "0");
      next.focus();
    });
  });
}
