// The page: what is known of each station, kept up by push; only the rows in sight are in the document.
import { access, ask, configure } from "./api.js";
import { drawAlarms } from "./alarms.js";
import { subscribe } from "./mqtt.js";

const ROW_PIXELS = 32;
const SPARE_ROWS = 5;
const SILENT_MS = 60_000;
const BEHIND_MS = 10_000;
const MOST_POINTS = 300;
const SUMMARY_MS = 10_000;
// The handler refuses what is further ahead; shown, it would hold its row against every true message.
const MOST_AHEAD_MS = 86_400_000;
const PLOTTED = [
  ["battery_available", "Batteries ready"],
  ["charging", "Charging"],
  ["queue_length", "Vehicles waiting"],
  ["temperature_c", "Temperature, °C"],
];

const find = (id) => document.getElementById(id);
const stations = new Map();
const seenLive = new Map();
let names = [];
let shown = [];
let received = 0;
let lag = Infinity;
let dropped = 0;
let droppedAt = -Infinity;
let chosen = null;
let dirty = true;

const number = (value, digits = 0) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

function take(station) {
  const known = stations.get(station.station_id);
  // Late and doubled messages must not move a station back.
  if (known && known.at > Date.parse(station.timestamp)) return;
  station.at = Date.parse(station.timestamp);
  stations.set(station.station_id, station);
  if (!known) names = [];
  dirty = true;
}

function onMessage(topic, payload) {
  if (topic === "$front-door/dropped") {
    dropped = Number(payload);
    droppedAt = Date.now();
    return;
  }
  let station;
  try {
    station = JSON.parse(payload);
  } catch {
    return;
  }
  // What is not a station's own is the pipeline's to refuse, and not for this page to show.
  if (station?.station_id !== topic.split("/").at(-2) || !Number.isInteger(station.battery_available)) return;
  const age = Date.now() - Date.parse(station.timestamp);
  if (!(age > -MOST_AHEAD_MS)) return;
  received += 1;
  // The freshest of a second: one late station is not the page's being behind.
  lag = Math.min(lag, age);
  take(station);
  const points = seenLive.get(station.station_id) ?? [];
  points.push(station);
  if (points.length > MOST_POINTS) points.shift();
  seenLive.set(station.station_id, points);
}

function link(state, words) {
  const element = find("link");
  if (element.textContent === words) return;
  element.dataset.state = state;
  element.textContent = words;
}

let failures = 0;
async function connect() {
  try {
    await access();
    // What was missed while nothing came; a fresh URL each time, as one lives for a minute.
    let next = "";
    do {
      const page = await ask(`stations?limit=100${next ? `&next_token=${encodeURIComponent(next)}` : ""}`);
      page.stations.forEach(take);
      next = page.next_token;
    } while (next);
    const { url, topics } = await ask("realtime");
    subscribe(url, `dashboard-${crypto.randomUUID()}`, topics, {
      onMessage,
      onUp: () => {
        failures = 0;
        droppedAt = -Infinity;
        link("up", "Live");
      },
      onDown: again,
    });
  } catch (error) {
    again(error.message);
  }
}

function again(reason) {
  failures += 1;
  const seconds = Math.min(30, 0.5 * 2 ** failures) * (0.5 + Math.random() / 2);
  link("down", `Reconnecting: ${reason}`);
  setTimeout(connect, seconds * 1000);
}

function cells(station) {
  const silent = Date.now() - station.at > SILENT_MS;
  return [
    `${number(station.battery_available)} of ${number(station.slots)}`,
    number(station.charging),
    number(station.queue_length),
    `${number(station.temperature_c, 1)} °C`,
    silent ? "SILENT" : (station.status ?? "–"),
    new Date(station.at).toLocaleTimeString(),
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

function newRow() {
  const row = document.createElement("tr");
  const head = document.createElement("th");
  head.scope = "row";
  const button = document.createElement("button");
  button.type = "button";
  button.addEventListener("click", () => open(button.textContent));
  head.append(button);
  row.append(head, ...Array.from({ length: 6 }, () => document.createElement("td")));
  below.before(row);
  return row;
}

function set(element, text) {
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

function drawTable() {
  const focused = held();
  if (names.length !== stations.size) names = [...stations.keys()].sort();
  const wanted = find("search").value.trim().toLowerCase();
  shown = wanted ? names.filter((name) => name.toLowerCase().includes(wanted)) : names;
  const scroller = find("scroller");
  const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_PIXELS) - SPARE_ROWS);
  const count = Math.min(shown.length - first, Math.ceil(scroller.clientHeight / ROW_PIXELS) + 2 * SPARE_ROWS);
  const visible = Math.max(0, count);
  while (rows.length < visible) rows.push(newRow());
  while (rows.length > visible) rows.pop().remove();
  above.firstChild.style.height = `${first * ROW_PIXELS}px`;
  below.firstChild.style.height = `${Math.max(0, shown.length - first - visible) * ROW_PIXELS}px`;
  find("table").setAttribute("aria-rowcount", shown.length + 1);
  rows.forEach((row, index) => {
    row.setAttribute("aria-rowindex", first + index + 2);
    const name = shown[first + index];
    const station = stations.get(name);
    row.dataset.station = name;
    row.dataset.timestamp = station.timestamp;
    set(row.cells[0].firstChild, name);
    cells(station).forEach((value, column) => set(row.cells[column + 1], value));
    row.cells[1].className = station.battery_available === 0 ? "bad" : "";
  });
  hold(focused);
}

function drawFigures() {
  let ready = 0, charging = 0, queue = 0, empty = 0, silent = 0;
  const now = Date.now();
  for (const station of stations.values()) {
    ready += station.battery_available;
    charging += station.charging ?? 0;
    queue += station.queue_length ?? 0;
    empty += station.battery_available === 0;
    silent += now - station.at > SILENT_MS;
  }
  const figures = { stations: stations.size, ready, charging, queue, empty, silent };
  for (const [name, value] of Object.entries(figures)) set(find(`f-${name}`), value.toLocaleString());
}

async function open(name) {
  chosen = name;
  find("detail").hidden = false;
  set(find("detail-title"), name);
  find("detail-title").focus();
  drawPlots();
  try {
    const past = await ask(`stations/${encodeURIComponent(name)}/history?limit=1000`);
    const live = seenLive.get(name) ?? [];
    const begin = live.length ? Date.parse(live[0].timestamp) : Infinity;
    seenLive.set(name, [...past.points.filter((point) => Date.parse(point.timestamp) < begin), ...live].slice(-MOST_POINTS));
  } catch {
    // Where there is no history, what the page saw itself remains.
  }
  drawPlots();
}

function drawPlots() {
  const points = seenLive.get(chosen) ?? [];
  find("plots").replaceChildren(...PLOTTED.map(([field, title]) => plot(title, points.filter((point) => Number.isFinite(point[field])).map((point) => [Date.parse(point.timestamp), point[field]]))));
}

function plot(title, points) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  const values = points.map(([, value]) => value);
  const low = Math.min(...values), high = Math.max(...values);
  caption.textContent = points.length ? `${title}: ${values.at(-1)} (lowest ${low}, highest ${high})` : `${title}: nothing yet`;
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 100 100");
  picture.setAttribute("preserveAspectRatio", "none");
  picture.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const begin = points[0]?.[0], span = points.at(-1)?.[0] - begin || 1;
  line.setAttribute("points", points.map(([at, value]) => `${((at - begin) / span) * 100},${95 - ((value - low) / (high - low || 1)) * 90}`).join(" "));
  picture.append(line);
  figure.append(caption, picture);
  return figure;
}

function frame() {
  if (dirty) {
    dirty = false;
    drawTable();
  }
  requestAnimationFrame(frame);
}

let before = 0;
setInterval(() => {
  set(find("f-rate"), String(received - before));
  before = received;
  drawFigures();
  const late = Number.isFinite(lag) && lag > BEHIND_MS ? `Falling behind: the newest message is ${Math.round(lag / 1000)} s old. ` : "";
  lag = Infinity;
  const missed = Date.now() - droppedAt < BEHIND_MS ? `${dropped} older messages were passed over to keep up.` : "";
  set(find("behind"), late + missed);
  if (chosen) drawPlots();
  dirty = true;
}, 1000);

async function summary() {
  // A page that nobody looks at must not cost calls.
  if (!document.hidden) {
    try {
      await access();
      const now = await ask("summary");
      set(find("f-dlq"), now.dead_letters.toLocaleString());
      drawAlarms(find("alarms-word"), find("alarm-list"), now.alarms, now.dead_letters);
    } catch {
      set(find("f-dlq"), "–");
      drawAlarms(find("alarms-word"), find("alarm-list"), null, 0);
    }
  }
  setTimeout(summary, SUMMARY_MS);
}

find("scroller").addEventListener("scroll", () => (dirty = true));
find("search").addEventListener("input", () => (dirty = true));
find("close").addEventListener("click", () => {
  const name = chosen;
  chosen = null;
  find("detail").hidden = true;
  (rows.find((row) => row.dataset.station === name)?.cells[0].firstChild ?? find("search")).focus();
});
requestAnimationFrame(frame);
await configure();
connect();
summary();
