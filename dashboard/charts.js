// Charts over time by uPlot (npm; served beside this page): axes, units, a cursor that all share, zoom, and notes.
// Where uPlot is missing, a chart is its caption: what it says in words stands in both cases.

const HEIGHT = 170;
const SVG = "http://www.w3.org/2000/svg";
const KEYS = { "+": 0.5, "=": 0.5, "-": 2 };
export const there = typeof uPlot !== "undefined";

const paint = {};
const colours = () => {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["ink", "soft", "line", "accent", "good", "warm", "bad"]) paint[name] = style.getPropertyValue(`--${name}`);
};
colours();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", colours);

let notes = [];
/** Draw these on every chart from now on: `[{at, says}]`, `at` in seconds. */
export function setNotes(made) {
  notes = made;
}

const short = (value) => (value == null ? "–" : Math.abs(value) >= 100 ? Math.round(value).toLocaleString() : String(+value.toFixed(1)));
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
/** Write a time of day, given in ms as `Date` has it: the same number of characters for each. */
export const timeOfDay = (ms) => new Date(ms).toLocaleTimeString([], CLOCK);
const clock = (seconds) => timeOfDay(seconds * 1000);
const write = (element, said) => {
  if (element.textContent !== said) element.textContent = said;
};

/**
 * Put a chart into `host`. `lines`: `[{label, colour, dash}]`, colours by name: no two differ by colour alone.
 * Returns `{draw(columns), add(line)}`: `[seconds, values of each line]`, as uPlot has them; a line more, whose column is
 * then the last.
 */
export function chart(host, title, unit, lines) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  const place = document.createElement("div");
  const spoken = document.createElement("span");
  spoken.className = "spoken";
  spoken.setAttribute("role", "status");
  figure.append(caption, place, spoken);
  host.append(figure);
  let columns = [[], ...lines.map(() => [])];
  let picture = null;
  let from = null; // the seconds that a zoom shows
  let to = null;
  let first = null; // the oldest and newest time at the last drawing: columns may be the same arrays, grown
  let last = null;

  const name = document.createElement("strong");
  name.textContent = title;
  const moment = document.createElement("span");
  caption.append(name, unit ? `, ${unit}: ` : ": ", moment);
  const keys = [];
  const addKey = (line) => {
    const made = key(line);
    keys.push(made.value);
    moment.before(made.element, " ");
  };
  lines.forEach(addKey);

  const at = () => (picture?.cursor.idx == null ? null : picture.cursor.idx);
  const values = (index) => lines.map((line, each) => `${line.label} ${short(columns[each + 1][index])}`).join(", ");
  const tell = () => {
    const [times] = columns;
    const index = at() ?? times.length - 1;
    keys.forEach((element, each) => write(element, short(columns[each + 1]?.[index])));
    write(moment, !times.length ? "nothing yet" : at() === null ? "" : `at ${clock(times[index])}`);
  };

  if (there) {
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", `Chart: ${title}. Left and right move the cursor, plus and minus zoom, 0 shows all.`);
    picture = make(place, title, unit, lines, tell, (low, high) => {
      [from, to] = [low, high];
      [place.dataset.from, place.dataset.to] = [low, high];
    });
    new ResizeObserver(() => picture.setSize({ width: place.clientWidth, height: HEIGHT })).observe(place);
    place.addEventListener("keydown", (event) => {
      const [times] = columns;
      if (!times.length || event.ctrlKey || event.metaKey || event.altKey) return;
      const index = at() ?? times.length - 1;
      if (event.key in KEYS) {
        const half = ((picture.scales.x.max - picture.scales.x.min) / 2) * KEYS[event.key];
        picture.setScale("x", { min: Math.max(times[0], times[index] - half), max: Math.min(times.at(-1), times[index] + half) });
      } else if (event.key === "0") picture.setScale("x", { min: times[0], max: times.at(-1) });
      else if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        const next = Math.max(0, Math.min(times.length - 1, index + (event.key === "ArrowLeft" ? -1 : 1)));
        picture.setCursor({ left: picture.valToPos(times[next], "x"), top: 1 });
        spoken.textContent = `${clock(times[next])}: ${values(next)}`;
      } else return;
      event.preventDefault();
    });
  }
  return {
    add(line) {
      lines.push(line);
      addKey(line);
      picture?.addSeries(drawn(line));
    },
    draw(given) {
      columns = given;
      const [times] = columns;
      if (picture) {
        // A zoom stays where it is while points come in; all of it is shown again when it reaches over all.
        const zoomed = from !== null && times.length && last !== null && (from > first || to < last);
        [first, last] = [times[0] ?? null, times.at(-1) ?? null];
        picture.setData(columns, !zoomed);
        if (zoomed) picture.redraw();
      }
      tell();
    },
  };
}

// A piece of the line as it is drawn, its name, and its value.
function key(line) {
  const element = document.createElement("span");
  element.className = "key";
  const picture = document.createElementNS(SVG, "svg");
  const stroke = document.createElementNS(SVG, "line");
  for (const [what, value] of Object.entries({ width: 22, height: 8, "aria-hidden": "true" })) picture.setAttribute(what, value);
  for (const [what, value] of Object.entries({ x1: 0, x2: 22, y1: 4, y2: 4, class: line.colour ?? "accent", "stroke-dasharray": line.dash?.join(" ") ?? "none" })) stroke.setAttribute(what, value);
  picture.append(stroke);
  const value = document.createElement("b");
  element.append(picture, ` ${line.label} `, value);
  return { element, value };
}

function make(place, title, unit, lines, tell, scaled) {
  const axis = { stroke: () => paint.soft, grid: { stroke: () => paint.line, width: 1 }, ticks: { stroke: () => paint.line, width: 1 }, font: "12px system-ui, sans-serif" };
  const options = {
    width: place.clientWidth || 300,
    height: HEIGHT,
    // For half of the last time on the axis.
    padding: [8, 30, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "page" }, points: { size: 6 } },
    scales: { y: { range: (_, low, high) => (low === null ? [0, 1] : uPlot.rangeNum(Math.min(0, low), Math.max(high, Math.min(0, low) + 1), 0.1, true)) } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map((each) => clock(each)), space: 80, size: 28 }, { ...axis, size: (_, ticks) => 20 + 7 * Math.max(4, ...(ticks ?? []).map((each) => each.length)), label: unit || title, labelSize: 16, labelFont: "12px system-ui, sans-serif" }],
    series: [{}, ...lines.map(drawn)],
    hooks: {
      setCursor: [tell],
      setScale: [(picture, key) => key === "x" && scaled(picture.scales.x.min, picture.scales.x.max)],
      draw: [drawNotes],
    },
  };
  return new uPlot(options, [[], ...lines.map(() => [])], place);
}

const drawn = (line) => ({ label: line.label, stroke: () => paint[line.colour ?? "accent"], dash: line.dash, width: 2, points: { show: false } });

function drawNotes(picture) {
  const { ctx, bbox, scales } = picture;
  ctx.save();
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.setLineDash([2, 3]);
  let row = 0;
  for (const { at, says } of notes) {
    if (!(at >= scales.x.min && at <= scales.x.max)) continue;
    const x = picture.valToPos(at, "x", true);
    ctx.strokeStyle = ctx.fillStyle = paint.ink;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const right = x + ctx.measureText(says).width > bbox.left + bbox.width;
    ctx.textAlign = right ? "right" : "left";
    ctx.fillText(says, x + (right ? -4 : 4), bbox.top + (12 + 13 * (row++ % 3)) * devicePixelRatio);
  }
  ctx.restore();
}
