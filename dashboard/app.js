// The page: what is known of each station, kept up by push; drawn as figures, map, table, charts and a station's page.
import { access, ask, configure } from "./api.js";
import { drawAlarms } from "./alarms.js";
import * as charts from "./charts.js";
import { connectionsFor, listen, rateOf } from "./listen.js";
import * as map from "./map.js";
import { follow } from "./notes.js";
import * as network from "./network.js";
import { drawRollouts } from "./rollouts.js";
import * as station from "./station.js";
import { hear, stations, take, total } from "./store.js";
import { drawTable, onOpen, set, wantedNames } from "./table.js";

const BEHIND_MS = 10_000;
const SUMMARY_MS = 10_000;
// While firmware is rolled out; what the API says of it is up to five seconds old.
const ROLLOUT_MS = 3000;
const READ_AGAIN_MS = 30_000;
const MEASURED_SECONDS = 5;
const GROW_MS = 5000;

const find = (id) => document.getElementById(id);
let lag = Infinity;
let dropped = 0;
let droppedAt = -Infinity;
let skipped = 0;
let skippedAt = -Infinity;
let readAt = -Infinity;
let came = 0;
const rates = [];
let letters = null;
let reasons = {};
let dirty = true;
let mapDirty = false;

function onMessage(topic, payload) {
  if (topic === "$front-door/dropped") {
    dropped = Number(payload);
    droppedAt = Date.now();
    return;
  }
  const heard = hear(topic, payload);
  const { age } = heard;
  if (Number.isNaN(age)) return;
  if (heard.skipped) {
    skipped += heard.skipped;
    came += heard.skipped;
    skippedAt = Date.now();
    readAgain();
  }
  // The freshest of a second: one late station is not the page's being behind.
  lag = Math.min(lag, age);
  came += 1;
  dirty = true;
}

function link(state, words) {
  const element = find("link");
  if (element.textContent === words) return;
  element.dataset.state = state;
  element.textContent = words;
}

async function readAll() {
  readAt = Date.now();
  let next = "";
  do {
    const page = await ask(`stations?limit=100${next ? `&next_token=${encodeURIComponent(next)}` : ""}`);
    page.stations.forEach(take);
    next = page.next_token;
  } while (next);
}

// AWS IoT drops what is over 100 messages a second of a connection, without a word: the API has it all the same.
async function readAgain() {
  if (Date.now() - readAt < READ_AGAIN_MS) return;
  try {
    await readAll();
  } catch {
    // The next gap tries once more.
  }
}

let failures = 0;
let listening = { close: () => {}, count: 0, limit: undefined, at: -Infinity };

async function connect() {
  try {
    await access();
    // What was missed while nothing came.
    await readAll();
    await open(rateOf([...stations.values()].map((each) => each.at)));
  } catch (error) {
    again(error.message);
  }
}

// Listen anew, to so many messages a second; what listens now goes on until that is there.
async function open(rate) {
  // A fresh URL each time, as one lives for a minute.
  const offer = await ask("realtime");
  const before = listening;
  const limit = offer.messages_a_second;
  const count = connectionsFor(rate, limit);
  const close = listen(offer, count, {
    onMessage,
    onUp: () => {
      before.close();
      failures = 0;
      droppedAt = skippedAt = -Infinity;
      skipped = 0;
      link("up", count === 1 ? "Live" : `Live, by ${count} connections`);
    },
    onDown: (reason) => {
      before.close();
      again(reason);
    },
  });
  listening = { close, count, limit, at: Date.now() };
}

// More may come than the connections take: those that did not come are known by the gaps in stations' numbers.
async function grow() {
  const { count, limit, at } = listening;
  const measured = Math.max(...rates);
  if (failures || count === 0 || Date.now() - at < GROW_MS || connectionsFor(measured, limit) <= count) return;
  listening.at = Date.now();
  try {
    await open(measured);
  } catch {
    // What there is goes on.
  }
}

function again(reason) {
  failures += 1;
  listening.count = 0;
  const seconds = Math.min(30, 0.5 * 2 ** failures) * (0.5 + Math.random() / 2);
  link("down", `Reconnecting: ${reason}`);
  setTimeout(connect, seconds * 1000);
}

function frame() {
  // First, so that one drawing that fails is not the last.
  requestAnimationFrame(frame);
  if (dirty) drawTable();
  dirty = false;
  if (mapDirty) map.draw(wantedNames());
  mapDirty = false;
}

const FIGURES = ["stations", "ready", "charging", "queue", "empty", "silent"];
setInterval(() => {
  const sum = total();
  for (const name of FIGURES) set(find(`f-${name}`), sum[name].toLocaleString());
  set(find("f-rate"), String(network.sample(sum, letters, reasons)));
  rates.push(came);
  came = 0;
  if (rates.length > MEASURED_SECONDS) rates.shift();
  if (rates.length === MEASURED_SECONDS) grow();
  const late = Number.isFinite(lag) && lag > BEHIND_MS ? `Falling behind: the newest message is ${Math.round(lag / 1000)} s old. ` : "";
  lag = Infinity;
  const missed = Date.now() - droppedAt < BEHIND_MS ? `${dropped} older messages were passed over to keep up.` : "";
  const gone = Date.now() - skippedAt < BEHIND_MS && !missed ? `${skipped} messages did not come (AWS IoT drops what is over its limit for a connection): stations are read from the API, too.` : "";
  set(find("behind"), late + missed + gone);
  if (station.chosen) station.draw();
  if (!document.hidden) station.look();
  dirty = mapDirty = true;
}, 1000);

const about = { alarms: find("alarms-word"), letters: find("letters-word"), list: find("alarm-list") };

async function summary() {
  // A page that nobody looks at must not cost calls.
  if (!document.hidden) {
    try {
      await access();
      const now = await ask("summary");
      letters = now.dead_letters;
      reasons = now.dead_letters_by_reason ?? {};
      set(find("f-dlq"), letters.toLocaleString());
      drawAlarms(about, now.alarms, letters, reasons);
      await network.measureStored(ask);
    } catch {
      letters = null;
      reasons = {};
      set(find("f-dlq"), "–");
      drawAlarms(about, null, 0, {});
    }
  }
  setTimeout(summary, SUMMARY_MS);
}

async function rollouts() {
  let pause = SUMMARY_MS;
  if (!document.hidden) {
    try {
      await access();
      const { jobs } = await ask("jobs");
      drawRollouts(find("rollouts"), find("rollout-list"), jobs);
      if (jobs.some((job) => job.status === "IN_PROGRESS")) pause = ROLLOUT_MS;
    } catch {
      // What is shown stays: the next time it may be known.
    }
  }
  setTimeout(rollouts, pause);
}

find("scroller").addEventListener("scroll", () => (dirty = true));
find("search").addEventListener("input", () => (dirty = mapDirty = true));
find("map").addEventListener("moved", () => (mapDirty = true));
find("no-charts").hidden = charts.there;
onOpen(station.open);
network.begin(find("over-time"));
map.begin(station.open);
requestAnimationFrame(frame);
await configure();
connect();
summary();
rollouts();
follow();
