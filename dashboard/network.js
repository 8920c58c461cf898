// The network over time: a sample each second while the page is open, at most an hour of them.
import { chart } from "./charts.js";
import { counted, takeAges } from "./store.js";

const MOST_SAMPLES = 3600;
const SWAPS_WINDOW_SECONDS = 600;
const STORED_EVERY_MS = 30_000;
const RECENT_MS = 60_000;
const BLUE = "accent";
const dashed = [6, 4];
// A line for each reason of dead letters, the commonest at its first sight first; what comes after these is "other".
const REASON_LINES = [
  { colour: BLUE, dash: dashed }, { colour: "warm", dash: [2, 3] }, { colour: "good", dash: [10, 3, 2, 3] },
  { colour: "soft", dash: [1, 5] }, { colour: "ink", dash: [14, 4] },
];
const OTHER = { label: "other reasons", colour: BLUE, dash: [4, 8] };

const COLUMNS = ["at", "ready", "charging", "swapsAnHour", "queue", "power", "grid", "rate", "page50", "page99", "stored50", "stored99", "letters"];
const columns = Object.fromEntries(COLUMNS.map((name) => [name, []]));
const swaps = [];
let before = 0;
let stored = [null, null];
let speed = 1;

const DRAWN = [
  ["Batteries", "packs", { ready: { label: "ready", colour: "good" }, charging: { label: "charging", colour: BLUE, dash: dashed } }],
  ["Swaps", "an hour", { swapsAnHour: { label: "swaps" } }],
  ["Vehicles waiting", "vehicles", { queue: { label: "waiting" } }],
  ["Power", "kW", { power: { label: "drawn", colour: BLUE }, grid: { label: "grid's limit", colour: "bad", dash: dashed } }],
  ["Messages", "a second", { rate: { label: "heard" } }],
  ["From a station's clock to here", "ms", { page50: { label: "half within" }, page99: { label: "99 % within", colour: "warm", dash: dashed } }],
  ["From a station's clock to stored", "ms", { stored50: { label: "half within" }, stored99: { label: "99 % within", colour: "warm", dash: dashed } }],
  // The last: `columnOf` adds to it.
  ["Dead letters", "messages", { letters: { label: "waiting", colour: "bad" } }],
];
let charts = [];
const reasonLines = new Map(); // the column of each reason

/** Make the charts in `host`. */
export function begin(host) {
  charts = DRAWN.map(([title, unit, lines]) => [chart(host, title, unit, Object.values(lines)), Object.keys(lines)]);
}

/** Say how much faster than ours the stations' time runs: swaps an hour are of their hours. */
export function setSpeed(times) {
  speed = times;
}

const quantile = (sorted, share) => (sorted.length ? sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] : null);

function columnOf(reason) {
  const known = reasonLines.get(reason);
  if (known) return known;
  const own = REASON_LINES[reasonLines.size];
  const [name, line] = own ? [`reason ${reason}`, { ...own, label: reason.replaceAll("_", " ") }] : ["other reasons", OTHER];
  reasonLines.set(reason, name);
  if (columns[name]) return name;
  // Nothing was there before it was seen.
  columns[name] = columns.at.map(() => null);
  COLUMNS.push(name);
  const [drawn, names] = charts.at(-1);
  names.push(name);
  drawn.add(line);
  return name;
}

/**
 * Take `sum` (of store.js's `total`), the number of dead letters (null: not known) and how many of some have which
 * reason, and draw. Returns messages a second.
 */
export function sample(sum, letters, reasons = {}) {
  const at = Math.round(Date.now() / 1000);
  const rate = counted.messages - before;
  before = counted.messages;
  if (at <= columns.at.at(-1)) return rate;
  swaps.push([at, counted.swaps]);
  while (swaps.length > 2 && at - swaps[0][0] > Math.max(20, SWAPS_WINDOW_SECONDS / speed)) swaps.shift();
  const seconds = at - swaps[0][0];
  const ages = takeAges();
  const made = {
    ...sum,
    at,
    rate,
    // A rate of a few seconds is noise.
    swapsAnHour: seconds < 10 ? null : ((counted.swaps - swaps[0][1]) * 3600) / seconds / speed,
    // A limit is one where every station says it.
    grid: sum.grid || null,
    page50: quantile(ages, 0.5),
    page99: quantile(ages, 0.99),
    stored50: stored[0],
    stored99: stored[1],
    letters,
  };
  for (const [reason, count] of Object.entries(reasons)) {
    const name = columnOf(reason);
    made[name] = (made[name] ?? 0) + count;
  }
  if (letters !== null) for (const name of reasonLines.values()) made[name] ??= 0;
  for (const name of COLUMNS) {
    columns[name].push(made[name] ?? null);
    if (columns[name].length > MOST_SAMPLES) columns[name].shift();
  }
  for (const [drawn, names] of charts) drawn.draw([columns.at, ...names.map((name) => columns[name])]);
  return rate;
}

let askedAt = -Infinity;
/**
 * Measure now and then how long messages took until they were in the table, by `ask` (api.js): those of up to 100
 * stations, written within the last minute.
 */
export async function measureStored(ask) {
  if (Date.now() - askedAt < STORED_EVERY_MS) return;
  askedAt = Date.now();
  const found = (await ask("stations?limit=100")).stations.filter(
    // Presence writes the item, too: not what its telemetry took.
    (each) => askedAt - Date.parse(each.updated_at) < RECENT_MS && !(each.connection_at > Date.parse(each.timestamp)),
  );
  const took = found.map((each) => Date.parse(each.updated_at) - Date.parse(each.timestamp)).sort((one, other) => one - other);
  stored = [quantile(took, 0.5), quantile(took, 0.99)];
}
