// Commands to a station: sent with an id of their own, so that one sent twice is carried out once, and followed.
import { ask, post } from "./api.js";

const ASK_EVERY_MS = 5000;
const SENT_EVERY_MS = 500;
const find = (id) => document.getElementById(id);
let name = null;
let asking = false;
let askedAt = 0;
let waits = false;

/** Follow the commands of the station `station`; null: of none. */
export function open(station) {
  name = station;
  askedAt = 0;
  waits = false;
  find("commands-word").textContent = "";
  find("commands").replaceChildren();
  look();
}

/** Ask the API how the last commands stand when it is time; more often while one has no answer. */
export async function look() {
  if (!name || asking || Date.now() - askedAt < (waits ? SENT_EVERY_MS : ASK_EVERY_MS)) return;
  asking = true;
  askedAt = Date.now();
  const asked = name;
  try {
    const found = (await ask(`stations/${encodeURIComponent(asked)}/commands`)).commands;
    if (asked === name) draw(found);
  } catch (error) {
    if (asked === name) find("commands-word").textContent = error.message;
  } finally {
    asking = false;
    if (waits && asked === name) setTimeout(look, SENT_EVERY_MS);
  }
}

function draw(found) {
  waits = found.some((each) => each.state === "sent");
  const words = found.map(
    (each) => `${new Date(each.at).toLocaleString()}, ${each.by}: ${each.command}${each.slot === undefined ? "" : ` ${each.slot}`}: ${each.state.replace("_", " ")}${each.detail ? ` (${each.detail})` : ""}`,
  );
  const list = find("commands");
  if (list.dataset.shown === words.join()) return;
  list.dataset.shown = words.join();
  list.replaceChildren(...words.map((said) => Object.assign(document.createElement("li"), { textContent: said })));
}

find("command-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const command = find("command").value;
  const slot = command === "unlock_slot" ? { slot: find("command-slot").valueAsNumber } : {};
  const to = name;
  try {
    await post(`stations/${encodeURIComponent(to)}/commands`, { command, ...slot, command_id: crypto.randomUUID() });
    if (to !== name) return;
    find("commands-word").textContent = "";
    askedAt = 0;
    look();
  } catch (error) {
    if (to === name) find("commands-word").textContent = `Not sent: ${error.message}`;
  }
});
const showSlot = () => (find("command-slot-field").hidden = find("command").value !== "unlock_slot");
find("command").addEventListener("change", showSlot);
showSlot();
