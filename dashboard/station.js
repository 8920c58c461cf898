// A station's own page: its slots, its charts, its connection.
import { ask } from "./api.js";
import { chart, timeOfDay } from "./charts.js";
import * as commands from "./commands.js";
import * as settings from "./settings.js";
import { live, silent, stations } from "./store.js";
import { focusOn, number, set, status } from "./table.js";

const MOST_POINTS = 1500;
const MOST_SLOTS = 100;
const ASK_EVERY_MS = 5000;
const GAPS_SHOWN = 20;

const CHARTS = [
  ["Batteries", "packs", [["battery_available", { label: "ready", colour: "good" }], ["charging", { label: "charging", dash: [6, 4] }]]],
  ["Vehicles waiting", "vehicles", [["queue_length", { label: "waiting" }]]],
  ["Power", "kW", [["power_kw", { label: "drawn" }], ["grid_kw", { label: "grid's limit", colour: "bad", dash: [6, 4] }]]],
  ["Temperature", "°C", [["temperature_c", { label: "outside" }]]],
  ["Swaps", "since it counts", [["swaps_total", { label: "swaps" }]]],
];

// Disconnect reasons as in "Lifecycle events", AWS IoT Core developer guide.
const REASONS = {
  CLIENT_INITIATED_DISCONNECT: "it said goodbye",
  CONNECTION_LOST: "the connection was lost",
  MQTT_KEEP_ALIVE_TIMEOUT: "nothing came for longer than its keep-alive",
  DUPLICATE_CLIENTID: "it connected anew",
  SERVER_INITIATED_DISCONNECT: "the server ended it",
  SERVER_ERROR: "the server ended it for a fault of its own",
  FORBIDDEN_ACCESS: "it did what its policy does not allow",
  AUTH_ERROR: "it was not known or not allowed",
  CLIENT_ERROR: "it did what MQTT does not allow",
  THROTTLED: "it sent too much",
};

const find = (id) => document.getElementById(id);
export let chosen = null;
let charts = null;
let past = [];
let resolution = 60;
let askedAt = 0;
let connections = []; // [when in ms, words], newest first
let connectionSeen = "";

/** Show the page of the station `name`. */
export async function open(name) {
  chosen = name;
  past = [];
  connections = [];
  connectionSeen = "";
  askedAt = 0;
  find("detail").hidden = false;
  set(find("detail-title"), name);
  find("detail-title").focus();
  charts ??= CHARTS.map(([title, unit, lines]) => chart(find("plots"), title, unit, lines.map(([, line]) => line)));
  draw();
  settings.open(name);
  commands.open(name);
  try {
    const found = await ask(`stations/${encodeURIComponent(name)}/history?limit=${MOST_POINTS}`);
    if (chosen !== name) return;
    past = found.points;
    resolution = found.resolution_seconds;
  } catch {
    // Where there is no history, what the page saw itself remains.
  }
  draw();
}

function close() {
  const name = chosen;
  chosen = null;
  find("detail").hidden = true;
  settings.close();
  commands.open(null);
  focusOn(name);
}

/** Draw what is known of the chosen station now. */
export function draw() {
  const station = stations.get(chosen);
  if (!station) return;
  const seen = live(chosen);
  const begin = seen.length ? seen[0].at : Infinity;
  const points = [...past.filter((point) => Date.parse(point.timestamp) < begin), ...seen];
  // uPlot wants times that rise.
  const times = [];
  const kept = points.filter((point) => {
    const at = Date.parse(point.timestamp) / 1000;
    if (at <= (times.at(-1) ?? -Infinity)) return false;
    times.push(at);
    return true;
  });
  const finite = (value) => (Number.isFinite(value) ? value : null);
  CHARTS.forEach(([, , lines], index) => charts[index].draw([times, ...lines.map(([field]) => kept.map((point) => finite(point[field])))]));
  drawSlots(station);
  drawConnection(station, times);
  const facts = [
    status(station, Date.now()),
    station.firmware && `firmware ${station.firmware}`,
    Number.isFinite(station.latitude) && `at ${station.latitude.toFixed(3)}, ${station.longitude.toFixed(3)}`,
    `heard ${timeOfDay(station.at)}`,
  ];
  set(find("facts"), facts.filter(Boolean).join(" · "));
}

function drawSlots(station) {
  const slots = Math.min(MOST_SLOTS, station.slots ?? 0);
  // Telemetry has each slot's charge in percent; the API's table has numbers of slots alone.
  const charges = Array.isArray(station.slot_charge) ? station.slot_charge.slice(0, slots) : null;
  // Those with the most charge are the ready ones: how much that is depends on its settings.
  const ready = new Set([...Array(slots).keys()].sort((one, other) => (charges ? charges[other] - charges[one] : 0)).slice(0, station.battery_available));
  const list = find("slots");
  while (list.children.length < slots) list.append(newSlot());
  while (list.children.length > slots) list.lastChild.remove();
  for (let index = 0; index < slots; index++) {
    const charge = charges ? charges[index] : null;
    const full = ready.has(index);
    const item = list.children[index];
    const [box, words] = item.children;
    box.firstChild.style.height = `${Number.isFinite(charge) ? charge : full ? 100 : 50}%`;
    item.dataset.ready = full;
    item.dataset.known = charges !== null;
    set(words, `${index + 1}: ${Number.isFinite(charge) ? `${charge} %` : full ? "ready" : "charging"}${full && charges ? " ✓" : ""}`);
  }
  set(find("slots-word"), charges ? `${station.battery_available} of ${slots} ready (✓)` : `${station.battery_available} of ${slots} ready; each slot's charge comes with the next message`);
}

function newSlot() {
  const item = document.createElement("li");
  const box = document.createElement("div");
  box.className = "slot";
  box.setAttribute("aria-hidden", "true");
  box.append(document.createElement("div"));
  item.append(box, document.createElement("span"));
  return item;
}

/** Ask the API now and then whether the station is connected: presence is not among what is pushed. */
export async function look() {
  settings.look();
  commands.look();
  if (!chosen || Date.now() - askedAt < ASK_EVERY_MS) return;
  askedAt = Date.now();
  const name = chosen;
  const found = await ask(`stations/${encodeURIComponent(name)}`).catch(() => null);
  if (!found || name !== chosen || !found.connection) return;
  const known = stations.get(name);
  [known.connection, known.connection_at] = [found.connection, found.connection_at];
  // Its connections change when this does.
  const seen = `${found.connection} ${found.connection_at}`;
  if (seen === connectionSeen) return;
  const listed = await ask(`stations/${encodeURIComponent(name)}/connections`).catch(() => null);
  if (!listed || name !== chosen) return;
  connectionSeen = seen;
  connections = listed.connections.map(({ at, connection, reason }) => [Date.parse(at), connection === "ONLINE" ? "Connected" : `Disconnected${reason ? `: ${REASONS[reason] ?? reason}` : ""}`]);
}

function drawConnection(station, times) {
  const now = Date.now();
  const said = [...connections];
  // What it did not say while it was away is missing from its history.
  for (let index = 1; index < times.length; index++) {
    const seconds = times[index] - times[index - 1];
    if (seconds > 3 * resolution) said.push([1000 * times[index - 1], `Nothing heard for ${Math.round(seconds / 60)} min`]);
  }
  if (silent(station, now)) said.push([station.at, "Silent since then"]);
  said.sort((one, other) => other[0] - one[0]);
  const shown = said.slice(0, GAPS_SHOWN).map(([at, words]) => `${new Date(at).toLocaleString()}: ${words}`);
  const list = find("connections");
  if (list.dataset.shown === shown.join()) return;
  list.dataset.shown = shown.join();
  list.replaceChildren(
    ...(shown.length ? shown : [`Nothing known but its messages, the last ${number((now - station.at) / 1000)} s ago.`]).map((words) => {
      const item = document.createElement("li");
      item.textContent = words;
      return item;
    }),
  );
}

find("close").addEventListener("click", close);
