// Roll-outs of firmware: how many stations each has reached, as a bar and in words.

const PARTS = {
  succeeded: "succeeded", failed: "failed", rejected: "rejected", timed_out: "timed out",
  canceled: "canceled", in_progress: "in progress", queued: "queued", waiting: "not told yet",
};
const NAMES = { firmware: "Firmware", "roll-back": "Back from" };

function parts(job) {
  const told = Object.values(job.counts).reduce((sum, count) => sum + count, 0);
  const counts = { ...job.counts, waiting: Math.max(0, job.stations - told) };
  return Object.keys(PARTS).filter((part) => counts[part]).map((part) => [part, counts[part]]);
}

function ending(job) {
  if (job.aborted) return ". Aborted: too many failed. The way back: scripts/testbed firmware --roll-back";
  return { COMPLETED: ". Completed", CANCELED: ". Canceled" }[job.status] ?? "";
}

const words = (job, counted) =>
  `${counted.map(([part, count]) => `${count.toLocaleString()} ${PARTS[part]}`).join(", ")} of ${job.stations.toLocaleString()}${ending(job)}`;

function newItem() {
  const item = document.createElement("li");
  const bar = document.createElement("div");
  bar.className = "bar";
  // The words beside it say the same.
  bar.setAttribute("aria-hidden", "true");
  bar.append(...Object.keys(PARTS).map((part) => {
    const piece = document.createElement("span");
    piece.dataset.part = part;
    return piece;
  }));
  const name = document.createElement("strong");
  const said = document.createElement("span");
  item.append(name, ": ", said, bar);
  return item;
}

/** Show the jobs of GET /jobs in `list`, and hide `section` where there are none. Leaves alone what is the same. */
export function drawRollouts(section, list, jobs) {
  section.hidden = !jobs.length;
  while (list.children.length < jobs.length) list.append(newItem());
  while (list.children.length > jobs.length) list.lastChild.remove();
  jobs.forEach((job, index) => {
    const item = list.children[index];
    const shown = JSON.stringify(job);
    if (item.dataset.shown === shown) return;
    item.dataset.shown = shown;
    item.dataset.status = job.status;
    const [name, said, bar] = item.children;
    const counted = parts(job);
    name.textContent = `${NAMES[job.operation]} ${job.version}`;
    said.textContent = words(job, counted);
    said.className = job.aborted ? "bad" : "";
    const counts = Object.fromEntries(counted);
    for (const piece of bar.children) piece.style.flexGrow = counts[piece.dataset.part] ?? 0;
  });
}
