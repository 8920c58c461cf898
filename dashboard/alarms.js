// CloudWatch's alarms of the deployment, those that are raised first.

const WORDS = { OK: "OK", ALARM: "ALARM", INSUFFICIENT_DATA: "no data yet" };

// The alarms look at minutes, and an emulator may not judge them at all: what waits there already is said beside them.
function aboutLetters(deadLetters, reasons) {
  if (!deadLetters) return "";
  const waiting = deadLetters === 1 ? "1 dead letter waits" : `${deadLetters.toLocaleString()} dead letters wait`;
  return `${waiting}${why(deadLetters, reasons)}. What can be mended is sent back by scripts/testbed redrive.`;
}

function why(deadLetters, reasons) {
  const counts = Object.entries(reasons);
  const lookedAt = counts.reduce((sum, [, count]) => sum + count, 0);
  if (!lookedAt) return "";
  const some = lookedAt < deadLetters ? `; of ${lookedAt.toLocaleString()} looked at: ` : ": ";
  return `${some}${counts.map(([reason, count]) => `${count.toLocaleString()} ${reason.replaceAll("_", " ")}`).join(", ")}`;
}

function aboutAlarms(alarms) {
  if (!alarms) return "Not known: the API does not say.";
  if (!alarms.length) return "None is set up here.";
  const raised = alarms.filter((alarm) => alarm.state === "ALARM").length;
  return raised ? `${raised} of ${alarms.length} raised.` : `No alarm raised, of ${alarms.length}.`;
}

/**
 * Say how many alarms are raised, how many dead letters wait and why (`reasons`: how many of some have which), and in the
 * list what each alarm is; null: nobody knows. `at` has the elements `{alarms, letters, list}`. Leaves alone what is the
 * same.
 */
export function drawAlarms(at, alarms, deadLetters, reasons) {
  const { list } = at;
  set(at.alarms, aboutAlarms(alarms));
  set(at.letters, aboutLetters(deadLetters, reasons));
  at.alarms.dataset.raised = alarms?.some((alarm) => alarm.state === "ALARM") ?? false;
  const shown = JSON.stringify(alarms);
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  const order = [...(alarms ?? [])].sort((a, b) => (b.state === "ALARM") - (a.state === "ALARM"));
  list.replaceChildren(...order.map(item));
}

function set(element, said) {
  if (element.textContent !== said) element.textContent = said;
}

function item(alarm) {
  const made = document.createElement("li");
  const name = document.createElement("strong");
  name.textContent = alarm.name;
  const state = document.createElement("span");
  state.dataset.state = alarm.state;
  state.textContent = WORDS[alarm.state] ?? alarm.state;
  const since = document.createElement("time");
  // Since when nothing is known says nothing.
  if (alarm.since && alarm.state !== "INSUFFICIENT_DATA") {
    since.dateTime = alarm.since;
    since.textContent = `since ${new Date(alarm.since).toLocaleString()}`;
  }
  made.append(name, ": ", state, " ", since);
  if (alarm.state === "ALARM" && alarm.description) made.append(`. ${alarm.description}`);
  return made;
}
