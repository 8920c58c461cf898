// The page's logic without a browser: what is counted, what is refused, and what is said. Run by test_page.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { drawAlarms } from "./alarms.js";
import { connectionsFor, rateOf } from "./listen.js";
import { counted, hear, stations, total } from "./store.js";

const topic = (name) => `ev-swap/stations/${name}/telemetry`;
const message = (name, sequence, fields = {}) => ({
  station_id: name,
  message_id: `${name}-${sequence}`,
  sequence,
  timestamp: new Date(Date.now() - 10_000 + 1000 * sequence).toISOString(),
  battery_available: 3,
  ...fields,
});
const say = (made, as = made.station_id) => hear(topic(as), JSON.stringify(made));

test("a late message does not move a station back, and one that comes twice counts once", () => {
  say(message("late", 5, { battery_available: 5 }));
  assert.equal(say(message("late", 4, { battery_available: 9 })).fresh, false);
  assert.equal(stations.get("late").battery_available, 5);
  const before = counted.messages;
  say(message("late", 6));
  assert.ok(Number.isNaN(say(message("late", 6)).age));
  assert.equal(counted.messages, before + 1);
});

test("a gap in a station's numbers is what did not come; a station that starts anew has none", () => {
  say(message("gap", 1));
  assert.equal(say(message("gap", 5)).skipped, 3);
  assert.equal(say(message("gap", 0, { timestamp: new Date().toISOString() })).skipped, 0);
});

test("swaps are counted from message to message, and a counter that begins anew takes none away", () => {
  const before = counted.swaps;
  [10, 12, 0, 1].forEach((swaps_total, sequence) => say(message("swaps", sequence, { swaps_total })));
  assert.equal(counted.swaps, before + 3);
});

test("what is not a station's own telemetry, or far ahead of the clock, is not shown", () => {
  const ahead = { timestamp: new Date(Date.now() + 3_600_000).toISOString() };
  for (const heard of [say(message("foreign", 1), "another"), say(message("foreign", 1, ahead)), say(message("foreign", 1, { battery_available: "3" })), hear(topic("foreign"), "{")]) assert.ok(Number.isNaN(heard.age));
  assert.equal(stations.has("foreign"), false);
});

test("the network's sum takes what a station does not say as nothing", () => {
  const before = total();
  say(message("silent", 1, { battery_available: 0, timestamp: new Date(Date.now() - 61_000).toISOString() }));
  const after = total();
  assert.deepEqual([after.empty - before.empty, after.silent - before.silent, after.power], [1, 1, before.power]);
});

test("so many connections are opened that none is given more than it takes", () => {
  assert.deepEqual([[200, 100], [5000, 100], [10, 100], [5000, undefined]].map((each) => connectionsFor(...each)), [4, 20, 1, 1]);
  assert.equal(rateOf([]), 0);
  assert.equal(rateOf([100_000, 99_000, 97_000, 90_000, 1000]), 3 / 5);
});

test("dead letters are said with their reasons, and of how many", () => {
  const at = { alarms: { dataset: {} }, letters: {}, list: { dataset: {}, replaceChildren() {} } };
  const say = (...given) => (drawAlarms(at, [], ...given), at.letters.textContent);
  assert.equal(say(0, {}), "");
  assert.equal(at.alarms.textContent, "None is set up here.");
  assert.match(say(3, { not_json: 2, out_of_range: 1 }), /^3 dead letters wait: 2 not json, 1 out of range\./);
  assert.match(say(500, { not_json: 10 }), /^500 dead letters wait; of 10 looked at: 10 not json\./);
  assert.match(say(1, {}), /^1 dead letter waits\./);
});
