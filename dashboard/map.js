// The map: every station where it says that it stands, over the outlines of countries where the server has them
// (npm's world-atlas: Natural Earth, public domain). One canvas: ten thousand stations are one drawing.
import { silent, stations } from "./store.js";

// A station with at most this share of its slots ready has few.
const FEW = 0.2;
const RADII = [3.5, 5, 7, 9];
const WAITING = [0, 2, 5]; // vehicles: up to so many for each radius but the last
const NEAR_PIXELS = 14;
const STEP = 1.5;
// What differs by colour differs by shape, too. The later are drawn over the earlier.
const KINDS = [
  ["silent", "soft", "silent"],
  ["ready", "good", "with batteries ready"],
  ["few", "warm", "with few"],
  ["none", "bad", "with none"],
];

const find = (id) => document.getElementById(id);
const canvas = find("map");
const context = canvas.getContext("2d");
let outlines = [];
let view = null; // {longitude, latitude: of the middle; scale: pixels a degree of latitude; squeeze: of a degree of longitude}
let own = false; // the user has moved it
let placed = [];
let background = null;
let sprites = {};
let opened = () => {};
let hovered = null;

/** Call `open(name)` when a station is chosen on the map, and fetch the outlines. */
export async function begin(open) {
  opened = open;
  const answer = await fetch("countries-50m.json").catch(() => null);
  if (!answer?.ok) return;
  const { arcs, transform } = await answer.json();
  // TopoJSON's arcs: each point is the difference to the one before, in steps of the transform.
  outlines = arcs.map((arc) => {
    let x = 0, y = 0;
    return arc.map(([dx, dy]) => [(x += dx) * transform.scale[0] + transform.translate[0], (y += dy) * transform.scale[1] + transform.translate[1]]);
  });
  background = null;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
const size = () => [canvas.clientWidth, canvas.clientHeight];

function kind(station, now) {
  if (silent(station, now) || station.connection === "OFFLINE") return 0;
  if (station.battery_available === 0) return 3;
  return station.battery_available <= FEW * (station.slots ?? 10) ? 2 : 1;
}

function radius(station) {
  const index = WAITING.findIndex((most) => (station.queue_length ?? 0) <= most);
  return index < 0 ? RADII.length - 1 : index;
}

/** Show the whole network. */
function fit() {
  own = false;
  view = null;
}

function fitted(found) {
  const longitudes = found.map((each) => each.longitude), latitudes = found.map((each) => each.latitude);
  const [west, east] = [longitudes.reduce((a, b) => Math.min(a, b)), longitudes.reduce((a, b) => Math.max(a, b))];
  const [south, north] = [latitudes.reduce((a, b) => Math.min(a, b)), latitudes.reduce((a, b) => Math.max(a, b))];
  const latitude = (south + north) / 2;
  const squeeze = Math.max(0.1, Math.cos((latitude * Math.PI) / 180));
  const [width, height] = size();
  // At least a tenth of a degree: one station alone is not the whole world.
  const scale = 0.9 * Math.min(width / (Math.max(0.1, east - west) * squeeze), height / Math.max(0.1, north - south));
  return { longitude: (west + east) / 2, latitude, scale, squeeze };
}

const across = (longitude) => (longitude - view.longitude) * view.squeeze * view.scale + canvas.clientWidth / 2;
const down = (latitude) => (view.latitude - latitude) * view.scale + canvas.clientHeight / 2;

/** Draw the stations `names`; hides the map where none says where it stands. */
export function draw(names) {
  const now = Date.now();
  const found = [];
  for (const name of names) {
    const station = stations.get(name);
    if (Number.isFinite(station.latitude) && Number.isFinite(station.longitude)) found.push(station);
  }
  // Not while a search finds none: the map must not jump.
  if (found.length) find("where").hidden = false;
  if (find("where").hidden) return;
  const [width, height] = size();
  // Before it is laid out there is nothing to draw on.
  if (!width || !height) return;
  const pixels = devicePixelRatio;
  if (canvas.width !== Math.round(width * pixels) || canvas.height !== Math.round(height * pixels)) {
    [canvas.width, canvas.height] = [Math.round(width * pixels), Math.round(height * pixels)];
    background = null;
    if (!own) view = null;
  }
  if (found.length && (!view || (!own && placed.length !== found.length))) {
    view = fitted(found);
    background = null;
  }
  if (!view) return;
  if (!background) drawBackground(width, height, pixels);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.drawImage(background, 0, 0);
  const smaller = found.length > 2000 ? 0.6 : 1;
  const counts = KINDS.map(() => 0);
  const layers = KINDS.map(() => []);
  placed = found.map((station) => {
    const what = kind(station, now);
    const made = { station, x: across(station.longitude), y: down(station.latitude), size: radius(station) };
    counts[what] += 1;
    layers[what].push(made);
    return made;
  });
  layers.forEach((layer, what) => {
    for (const each of layer) {
      if (each.x < -20 || each.y < -20 || each.x > width + 20 || each.y > height + 20) continue;
      const sprite = (sprites[`${what}/${each.size}/${smaller}`] ??= shape(what, RADII[each.size] * smaller, pixels));
      context.drawImage(sprite, Math.round(each.x * pixels - sprite.width / 2), Math.round(each.y * pixels - sprite.height / 2));
    }
  });
  const words = KINDS.map(([, , says], what) => `${counts[what].toLocaleString()} ${says}`);
  ["silent", "ready", "few", "none"].forEach((name, what) => {
    const element = find(`map-${name}`);
    if (element.textContent !== words[what]) element.textContent = words[what];
  });
  canvas.setAttribute("aria-label", `Map of ${found.length.toLocaleString()} stations: ${words.slice().reverse().join(", ")}. The table has the same. Arrows move it, plus and minus zoom, 0 shows all.`);
  tell();
}

function drawBackground(width, height, pixels) {
  background = new OffscreenCanvas(canvas.width, canvas.height);
  sprites = {};
  const on = background.getContext("2d");
  on.scale(pixels, pixels);
  on.strokeStyle = colour("soft");
  on.globalAlpha = 0.6;
  on.lineWidth = 1;
  on.beginPath();
  for (const outline of outlines) {
    let inside = false;
    for (const [longitude, latitude] of outline) {
      const x = across(longitude), y = down(latitude);
      if (x > -width && x < 2 * width && y > -height && y < 2 * height) {
        inside = true;
        break;
      }
    }
    if (!inside) continue;
    outline.forEach(([longitude, latitude], index) => on[index ? "lineTo" : "moveTo"](across(longitude), down(latitude)));
  }
  on.stroke();
}

function shape(what, size, pixels) {
  const edge = Math.ceil((2 * size + 4) * pixels);
  const made = new OffscreenCanvas(edge, edge);
  const on = made.getContext("2d");
  on.translate(edge / 2, edge / 2);
  on.scale(pixels, pixels);
  on.fillStyle = on.strokeStyle = colour(KINDS[what][1]);
  on.beginPath();
  if (what === 3) {
    const far = 0.8 * size;
    on.lineWidth = Math.max(1.8, size / 2.2);
    for (const sign of [1, -1]) {
      on.moveTo(-far, -sign * far);
      on.lineTo(far, sign * far);
    }
    on.stroke();
  } else if (what === 2) {
    on.moveTo(0, -1.15 * size);
    on.lineTo(1.1 * size, 0.85 * size);
    on.lineTo(-1.1 * size, 0.85 * size);
    on.fill();
  } else {
    on.arc(0, 0, 0.85 * size, 0, 2 * Math.PI);
    if (what === 0) on.stroke();
    else on.fill();
  }
  return made;
}

function nearest(event) {
  const { left, top } = canvas.getBoundingClientRect();
  let best = null, least = NEAR_PIXELS ** 2;
  for (const each of placed) {
    const far = (each.x - event.clientX + left) ** 2 + (each.y - event.clientY + top) ** 2;
    if (far < least) [best, least] = [each, far];
  }
  return best;
}

function tell() {
  const element = find("map-tip");
  element.hidden = !hovered;
  if (!hovered) return;
  const station = stations.get(hovered.station.station_id);
  element.textContent = `${station.station_id}: ${station.battery_available} of ${station.slots ?? "?"} ready, ${station.queue_length ?? 0} waiting`;
  element.style.left = `${Math.min(hovered.x + 10, canvas.clientWidth - element.offsetWidth)}px`;
  element.style.top = `${Math.max(0, hovered.y - 30)}px`;
}

function zoom(times, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  if (!view) return;
  // What is under the pointer stays there.
  const [right, low] = [x - canvas.clientWidth / 2, y - canvas.clientHeight / 2];
  const scale = Math.max(1, Math.min(50_000, view.scale * times));
  view.longitude += (right / view.scale - right / scale) / view.squeeze;
  view.latitude -= low / view.scale - low / scale;
  view.scale = scale;
  moved();
}

function pan(right, low) {
  if (!view) return;
  view.longitude += right / view.scale / view.squeeze;
  view.latitude -= low / view.scale;
  moved();
}

function moved() {
  own = true;
  background = null;
  hovered = null;
  canvas.style.touchAction = "none";
  canvas.dispatchEvent(new Event("moved"));
}

let held = null;
canvas.addEventListener("pointerdown", (event) => {
  held = { x: event.clientX, y: event.clientY, far: 0 };
});
canvas.addEventListener("pointermove", (event) => {
  if (held && event.buttons) {
    held.far += Math.abs(event.clientX - held.x) + Math.abs(event.clientY - held.y);
    if (held.far > 4 && (own || event.pointerType === "mouse")) pan(held.x - event.clientX, held.y - event.clientY);
    [held.x, held.y] = [event.clientX, event.clientY];
    return;
  }
  hovered = nearest(event);
  canvas.style.cursor = hovered ? "pointer" : "grab";
  tell();
});
canvas.addEventListener("pointerleave", () => {
  hovered = null;
  tell();
});
canvas.addEventListener("click", (event) => {
  const chosen = (held?.far ?? 0) <= 4 ? nearest(event) : null;
  held = null;
  if (chosen) opened(chosen.station.station_id);
});
canvas.addEventListener(
  "wheel",
  (event) => {
    // A page that scrolls must not be caught by the map.
    if (!event.ctrlKey && document.activeElement !== canvas) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX, event.offsetY);
  },
  { passive: false },
);
const all = () => {
  fit();
  canvas.style.touchAction = "";
  canvas.dispatchEvent(new Event("moved"));
};
const MOVES = {
  ArrowLeft: () => pan(-40, 0),
  ArrowRight: () => pan(40, 0),
  ArrowUp: () => pan(0, -40),
  ArrowDown: () => pan(0, 40),
  "+": () => zoom(STEP),
  "=": () => zoom(STEP),
  "-": () => zoom(1 / STEP),
  0: all,
};
canvas.addEventListener("keydown", (event) => {
  if (!(event.key in MOVES) || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  MOVES[event.key]();
});
find("map-in").addEventListener("click", () => zoom(STEP));
find("map-out").addEventListener("click", () => zoom(1 / STEP));
find("map-all").addEventListener("click", all);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  background = null;
});
