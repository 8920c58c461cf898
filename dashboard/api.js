// Where the API is, and what it asks of a page. Our own server on loopback asks for nothing: it keeps the key itself.
// Elsewhere the key, and a token where the API wants one, are asked for once and kept for this tab alone.

const SHUT = [401, 403];
// Too many at once: it was not done, so it may be asked for again.
const BUSY = 429;
const BUSY_MS = [300, 900, 2700];
const find = (id) => document.getElementById(id);
const fields = { key: find("api-key"), token: find("api-token") };
let config = { api: "", key: false, token: false, notes: false };
let waiting = null;

/** Read config.json: `{api, key, token}`, the API's base URL (empty: where the page is) and what it wants. */
export async function configure() {
  const answer = await fetch("config.json");
  if (answer.ok) config = await answer.json();
}

/** Return what is played, `{scenario, says, speed, notes}`, where the page's server knows of it; {} elsewhere. */
export async function played() {
  if (!config.notes) return {};
  return fetch("notes.json").then((answer) => (answer.ok ? answer.json() : {})).catch(() => ({}));
}

/** Resolves when there is whatever the API wants; shows the form until then. */
export function access() {
  if (wanted().every((name) => kept(name))) return Promise.resolve();
  waiting ??= asked("");
  return waiting;
}

const kept = (name) => sessionStorage.getItem(`api-${name}`);
const wanted = () => ["key", "token"].filter((name) => config[name]);

function asked(word) {
  const before = document.activeElement;
  const form = find("access");
  find("access-word").textContent = word;
  find("token-field").hidden = !config.token;
  fields.token.required = config.token;
  form.hidden = false;
  fields.key.focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      for (const name of wanted()) sessionStorage.setItem(`api-${name}`, fields[name].value.trim());
      for (const field of Object.values(fields)) field.value = "";
      form.hidden = true;
      waiting = null;
      (before === document.body ? find("search") : before).focus();
      resolve();
    };
  });
}

/** GET a path of the API, decoded. Throws an Error with words for people, and the `status`. */
export const ask = (path) => send(path, "GET");

/** PATCH a path of the API with a document; see `ask`. */
export const change = (path, document) => send(path, "PATCH", document);

/** POST a document to a path of the API; see `ask`. */
export const post = (path, document) => send(path, "POST", document);

async function send(path, method, document) {
  const headers = document ? { "content-type": "application/json" } : {};
  const shown = Object.fromEntries(wanted().map((name) => [name, kept(name)]));
  if (config.key) headers["x-api-key"] = shown.key;
  if (config.token) headers.authorization = `Bearer ${shown.token}`;
  const name = path.split("?")[0];
  let answer;
  try {
    for (const pause of [...BUSY_MS, null]) {
      answer = await fetch(config.api ? `${config.api}/${path}` : path, { method, headers, body: document && JSON.stringify(document) });
      if (answer.status !== BUSY || pause === null) break;
      await new Promise((done) => setTimeout(done, pause * (0.5 + Math.random())));
    }
  } catch {
    throw new Error(`${name} cannot be reached`);
  }
  if (answer.ok) return answer.json();
  const said = await answer.json().then((document) => document.detail, () => null);
  // A late refusal of an old key is none of the one that was typed in since.
  const current = wanted().every((name) => kept(name) === shown[name]);
  if (SHUT.includes(answer.status) && wanted().length && current) {
    for (const name of wanted()) sessionStorage.removeItem(`api-${name}`);
    waiting ??= asked(said ?? "The API refused that.");
  }
  throw Object.assign(new Error(said ?? `${name} answered ${answer.status}`), { status: answer.status });
}
