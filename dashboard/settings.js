// A station's settings: what is wanted of it, what it reports, and who changed what. Changes go by the version that the
// form was filled from: whoever was slower is told so, and sees what the other one did.
import { ask, change } from "./api.js";
import { set } from "./table.js";

const ASK_EVERY_MS = 5000;
const PENDING_EVERY_MS = 500;
// Bounds as functions/api_handler/settings.json has them; the API decides.
const FIELDS = [
  ["charging_power_limit_kw", "Charging power limit, kW", { type: "number", min: 0, max: 1200, step: "any" }],
  ["max_state_of_charge_percent", "Charge up to, %", { type: "number", min: 50, max: 100, step: "any" }],
  ["reporting_interval_seconds", "Report every, s", { type: "number", min: 1, max: 3600, step: "any" }],
  ["maintenance_mode", "Maintenance: it swaps nothing", { type: "checkbox" }],
  ["maintenance_reason", "Reason of the maintenance", { type: "text", maxLength: 200 }],
];

const find = (id) => document.getElementById(id);
const inputs = {};
const reports = {};
let name = null;
let filled = null; // what the form was filled from: the API's document
let touched = false;
let asking = false;
let askedAt = 0;
let pending = false;

for (const [field, label, attributes] of FIELDS) {
  const row = document.createElement("p");
  const input = Object.assign(document.createElement("input"), attributes, { id: `setting-${field}` });
  input.setAttribute("aria-describedby", `reported-${field}`);
  const caption = Object.assign(document.createElement("label"), { htmlFor: input.id, textContent: label });
  const reported = Object.assign(document.createElement("span"), { id: `reported-${field}`, className: "soft" });
  row.append(caption, input, reported);
  find("settings-fields").append(row);
  inputs[field] = input;
  reports[field] = reported;
  input.addEventListener("input", () => (touched = true));
}

const wanted = (document, field) => document.desired[field] ?? document.reported[field];
const read = (input) => (input.type === "checkbox" ? input.checked : input.type === "number" ? input.valueAsNumber : input.value);
const write = (input, value) => (input.type === "checkbox" ? (input.checked = value === true) : (input.value = value ?? ""));
const said = (value) => (value === true ? "on" : value === false ? "off" : value === undefined || value === "" ? "nothing yet" : JSON.stringify(value));

/** Show the settings of the station `station`. */
export function open(station) {
  name = station;
  filled = null;
  touched = pending = false;
  askedAt = 0;
  find("settings-form").hidden = true;
  set(find("settings-word"), "Asking for its settings");
  set(find("settings-conflict"), "");
  find("changes").replaceChildren();
  look();
}

function fill(document) {
  filled = document;
  touched = false;
  for (const [field] of FIELDS) write(inputs[field], wanted(document, field));
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

function draw(document) {
  find("settings-form").hidden = false;
  // The version moves when the station reports, too; only another one's wish makes a form old.
  if (!filled || (!touched && !same(filled.desired, document.desired))) fill(document);
  else if (same(filled.desired, document.desired)) filled = document;
  for (const [field] of FIELDS) {
    const refused = document.refused[field];
    const waits = document.pending.includes(field);
    set(reports[field], refused ? `refused: ${said(refused.reason ?? refused)}` : `reported: ${said(document.reported[field])}${waits ? `; waits for ${said(document.desired[field])}` : ""}`);
    reports[field].dataset.state = refused ? "refused" : waits ? "pending" : "reported";
  }
  pending = document.pending.length > 0;
  set(find("settings-word"), pending ? "The station has not reported the change yet; it gets it when it is connected." : "The station reports what is wanted of it.");
  if (!document.changes) return; // the answer to a change; the next one has them
  const changes = document.changes.map((each) => `${new Date(each.at).toLocaleString()}, ${each.by}: ${Object.entries(each.settings).map(([field, value]) => `${field} = ${said(value)}`).join(", ")} (${each.outcome})`);
  const list = find("changes");
  if (list.dataset.shown !== changes.join()) {
    list.dataset.shown = changes.join();
    list.replaceChildren(...changes.map((words) => Object.assign(globalThis.document.createElement("li"), { textContent: words })));
  }
}

/** Ask the API for the settings when it is time; more often while a change waits for the station. */
export async function look() {
  if (!name || asking || Date.now() - askedAt < (pending ? PENDING_EVERY_MS : ASK_EVERY_MS)) return;
  asking = true;
  askedAt = Date.now();
  const asked = name;
  try {
    const document = await ask(`stations/${encodeURIComponent(asked)}/settings`);
    if (asked === name) draw(document);
  } catch (error) {
    if (asked === name) set(find("settings-word"), error.message);
  } finally {
    asking = false;
    // A change that waits is asked for again at once, and not with the page's next second.
    if (pending && asked === name) setTimeout(look, PENDING_EVERY_MS);
  }
}

/** Forget the station. */
export function close() {
  name = null;
}

find("settings-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const settings = {};
  for (const [field] of FIELDS) {
    const value = read(inputs[field]);
    if (!same(value, wanted(filled, field)) && !(value === "" && wanted(filled, field) === undefined) && !Number.isNaN(value)) settings[field] = value;
  }
  if (!Object.keys(settings).length) return set(find("settings-conflict"), "Nothing is changed.");
  const to = name;
  try {
    const document = await change(`stations/${encodeURIComponent(to)}/settings`, { settings, version: filled.version });
    if (to !== name) return;
    fill(document);
    set(find("settings-conflict"), "");
    draw(document);
    askedAt = 0;
    look();
  } catch (error) {
    if (to !== name) return;
    const conflict = error.status === 409;
    set(find("settings-conflict"), conflict ? `Not changed: somebody else was quicker. ${error.message} The form has the newest now; below is who changed what.` : `Not changed: ${error.message}`);
    if (conflict) {
      touched = false;
      askedAt = 0;
      look();
    }
  }
});
