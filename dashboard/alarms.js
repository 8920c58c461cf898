// CloudWatch's alarms of the deployment, those that are raised first.

const WORDS = { OK: "OK", ALARM: "ALARM", INSUFFICIENT_DATA: "no data yet" };

function words(alarms) {
  if (!alarms) return "Not known: the API does not say.";
  if (!alarms.length) return "None is set up here.";
  const raised = alarms.filter((alarm) => alarm.state === "ALARM").length;
  return raised ? `${raised} of ${alarms.length} raised.` : `None raised, of ${alarms.length}.`;
}

/** Say in `word` how many are raised, and in the list what each is; null: nobody knows. Leaves alone what is the same. */
export function drawAlarms(word, list, alarms) {
  const said = words(alarms);
  if (word.textContent !== said) word.textContent = said;
  word.dataset.raised = alarms?.some((alarm) => alarm.state === "ALARM") ?? false;
  const shown = JSON.stringify(alarms);
  if (list.dataset.shown === shown) return;
  list.dataset.shown = shown;
  const order = [...(alarms ?? [])].sort((a, b) => (b.state === "ALARM") - (a.state === "ALARM"));
  list.replaceChildren(...order.map(item));
}

function item(alarm) {
  const made = document.createElement("li");
  const name = document.createElement("strong");
  name.textContent = alarm.name;
  const state = document.createElement("span");
  state.dataset.state = alarm.state;
  state.textContent = WORDS[alarm.state] ?? alarm.state;
  const since = document.createElement("time");
  if (alarm.since) {
    since.dateTime = alarm.since;
    since.textContent = `since ${new Date(alarm.since).toLocaleString()}`;
  }
  made.append(name, ": ", state, " ", since);
  if (alarm.state === "ALARM" && alarm.description) made.append(`. ${alarm.description}`);
  return made;
}
