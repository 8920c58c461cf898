// What is known of each station: its latest message, and the last ones of each for the charts.

const MOST_POINTS = 300;
const MOST_POINTS_IN_ALL = 300_000;
// The handler refuses what is further ahead; shown, it would hold its row against every true message.
const MOST_AHEAD_MS = 300_000;
const MOST_AGES = 2000;
export const SILENT_MS = 60_000;

export const stations = new Map();
const points = new Map();
let ages = [];
let swaps = 0;

/** Count messages since the page opened, and swaps that stations counted meanwhile. */
export const counted = { messages: 0, get swaps() { return swaps; } };

/** Show a station's state, unless a newer one is shown. Returns whether it is a station that was not known. */
export function take(station) {
  const known = stations.get(station.station_id);
  const at = Date.parse(station.timestamp);
  // Late and doubled messages must not move a station back.
  if (known && known.at > at) return false;
  station.at = at;
  // A station that starts anew counts from nothing.
  if (known) swaps += Math.max(0, station.swaps_total - known.swaps_total) || 0;
  stations.set(station.station_id, station);
  return !known;
}

/**
 * Take a message of MQTT's. Returns its age in ms, NaN if it is no station's telemetry, whether the station is new, and
 * how many of its messages before this one did not come: its sequence has a gap.
 */
export function hear(topic, payload) {
  let station;
  try {
    station = JSON.parse(payload);
  } catch {
    return { age: NaN };
  }
  // What is not a station's own is the pipeline's to refuse, and not for this page to show.
  if (station?.station_id !== topic.split("/").at(-2) || !Number.isInteger(station.battery_available)) return { age: NaN };
  const age = Date.now() - Date.parse(station.timestamp);
  if (!(age > -MOST_AHEAD_MS)) return { age: NaN };
  const seen = points.get(station.station_id) ?? [];
  // While one connection gives way to another, both bring it.
  if (station.message_id !== undefined && seen.at(-1)?.message_id === station.message_id) return { age: NaN };
  counted.messages += 1;
  if (ages.length < MOST_AGES) ages.push(age);
  const known = stations.get(station.station_id);
  // What the API knows and a message need not repeat.
  for (const name of ["connection", "connection_at"]) station[name] ??= known?.[name];
  const fresh = take(station);
  // A station that starts anew counts from nothing, and a late message closes no gap.
  const skipped = Math.max(0, station.sequence - seen.at(-1)?.sequence - 1) || 0;
  seen.push(station);
  const most = Math.min(MOST_POINTS, Math.max(20, MOST_POINTS_IN_ALL / stations.size));
  while (seen.length > most) seen.shift();
  points.set(station.station_id, seen);
  return { age, fresh, skipped };
}

/** Return and forget the ages in ms of the messages since the last call, sorted: from a station's clock to this page. */
export function takeAges() {
  const sorted = ages.sort((one, other) => one - other);
  ages = [];
  return sorted;
}

/** Return a station's messages that came here, oldest first. */
export const live = (name) => points.get(name) ?? [];

export const silent = (station, now) => now - station.at > SILENT_MS;

/** Add up the network: stations, batteries, vehicles, power in kW and its limit, and stations that need a look. */
export function total() {
  const sum = { stations: stations.size, ready: 0, charging: 0, queue: 0, power: 0, grid: 0, empty: 0, silent: 0 };
  const now = Date.now();
  for (const station of stations.values()) {
    sum.ready += station.battery_available;
    sum.charging += station.charging ?? 0;
    sum.queue += station.queue_length ?? 0;
    sum.power += station.power_kw ?? 0;
    sum.grid += station.grid_kw ?? 0;
    sum.empty += station.battery_available === 0;
    sum.silent += silent(station, now);
  }
  return sum;
}
