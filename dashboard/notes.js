// What is played: a scenario's words, and its moments on the charts and in a list.
import { played } from "./api.js";
import { setNotes } from "./charts.js";
import { setSpeed } from "./network.js";

const ASK_EVERY_MS = 5000;
const find = (id) => document.getElementById(id);

/** Ask now and then what is played, and say which of its moments have come. */
export async function follow() {
  const found = await played();
  const notes = found.notes ?? [];
  setNotes(notes);
  setSpeed(found.speed ?? 1);
  find("scenario").hidden = !found.scenario;
  if (found.scenario) {
    const words = `${found.scenario}: ${found.says}. A second here is ${+(found.speed / 60).toFixed(1)} minutes there.`;
    if (find("scenario-word").textContent !== words) find("scenario-word").textContent = words;
  }
  const come = notes.filter((note) => note.at <= Date.now() / 1000);
  const list = find("moments");
  while (list.children.length > come.length) list.lastChild.remove();
  come.forEach((note, index) => {
    const item = list.children[index] ?? list.appendChild(document.createElement("li"));
    if (item.textContent !== note.says) item.textContent = note.says;
  });
  setTimeout(follow, ASK_EVERY_MS);
}
