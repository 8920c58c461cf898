// The table of stations: only the rows in sight are in the document, and the focus is a station's, not a row's.
import { timeOfDay } from "./charts.js";
import { silent, stations } from "./store.js";

const ROW_PIXELS = 32;
const SPARE_ROWS = 5;

const find = (id) => document.getElementById(id);
let names = [];
let opened = () => {};

/** Call `open(name)` when a station is chosen in the table. */
export function onOpen(open) {
  opened = open;
}

/** Return the names that the search lets through, sorted. */
export function wantedNames() {
  if (names.length !== stations.size) names = [...stations.keys()].sort();
  const wanted = find("search").value.trim().toLowerCase();
  return wanted ? names.filter((name) => name.toLowerCase().includes(wanted)) : names;
}

export const number = (value, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

/** Say how a station is: what it says of itself, unless nobody has heard of it. */
export const status = (station, now) => (silent(station, now) ? "SILENT" : (station.status ?? "–"));

function cells(station) {
  return [
    `${number(station.battery_available)} of ${number(station.slots)}`,
    number(station.charging),
    number(station.queue_length),
    `${number(station.temperature_c, 1)} °C`,
    status(station, Date.now()),
    station.firmware ?? "–",
    timeOfDay(station.at),
  ];
}

const rows = [];
const gap = () => {
  const row = document.createElement("tr");
  row.className = "gap";
  row.setAttribute("aria-hidden", "true");
  row.append(document.createElement("td"));
  return row;
};
const above = gap();
const below = gap();
find("rows").append(above, below);

const columns = [...find("table").tHead.rows[0].cells];

function newRow() {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  const button = document.createElement("button");
  button.type = "button";
  button.addEventListener("click", () => opened(button.textContent));
  head.append(button);
  row.append(head, ...columns.slice(1).map((heading) => Object.assign(document.createElement("td"), { className: heading.className })));
  below.before(row);
  return row;
}

/** Write `text` into `element`, if it is another. */
export function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The station whose button has the focus: rows are reused, and it must not go over to another station.
let parked = null;

function held() {
  const focused = document.activeElement;
  if (focused === find("scroller")) return parked;
  return focused?.closest("#rows tr")?.dataset.station ?? null;
}

function hold(name) {
  parked = null;
  if (name === null) return;
  const button = rows.find((row) => row.dataset.station === name)?.cells[0].firstChild;
  // Out of sight: the table keeps the focus, and gives it back when the station is there again.
  if (!button) parked = name;
  const wanted = button ?? find("scroller");
  if (document.activeElement !== wanted) wanted.focus({ preventScroll: true });
}

/** Draw the rows in sight. */
export function drawTable() {
  const focused = held();
  const shown = wantedNames();
  const scroller = find("scroller");
  const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_PIXELS) - SPARE_ROWS);
  const count = Math.min(shown.length - first, Math.ceil(scroller.clientHeight / ROW_PIXELS) + 2 * SPARE_ROWS);
  const visible = Math.max(0, count);
  while (rows.length < visible) rows.push(newRow());
  while (rows.length > visible) rows.pop().remove();
  above.firstChild.style.height = `${first * ROW_PIXELS}px`;
  below.firstChild.style.height = `${Math.max(0, shown.length - first - visible) * ROW_PIXELS}px`;
  find("table").setAttribute("aria-rowcount", shown.length + 1);
  set(find("no-rows"), shown.length ? "" : stations.size ? "No station's name has this in it." : "No station has spoken yet: make simulate runs a fleet.");
  rows.forEach((row, index) => {
    row.setAttribute("aria-rowindex", first + index + 2);
    const name = shown[first + index];
    const station = stations.get(name);
    row.dataset.station = name;
    row.dataset.timestamp = station.timestamp;
    set(row.cells[0].firstChild, name);
    cells(station).forEach((value, column) => set(row.cells[column + 1], value));
    row.cells[1].classList.toggle("bad", station.battery_available === 0);
  });
  hold(focused);
}

/** Give the focus back to a station's row, or to the search where that is out of sight. */
export function focusOn(name) {
  (rows.find((row) => row.dataset.station === name)?.cells[0].firstChild ?? find("search")).focus();
}
