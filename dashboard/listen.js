// How the page listens: by one connection, or by several that share the messages between them.
// AWS IoT hands a connection so many messages a second and drops the rest ("AWS IoT Core message broker limits", AWS
// general reference); of a shared subscription, $share/<name>/<filter>, it gives each message to one of the members, by
// chance ("MQTT", AWS IoT Core developer guide, "Shared Subscriptions").
import { subscribe } from "./mqtt.js";

// Chance fills no connection evenly: with 60 of 100 on average, more than 100 come in one second of ten million.
const SHARE = 0.6;
const MOST = 20;
const RECENT_MS = 5000;

/** Return how many connections take `rate` messages a second, where one takes `limit` (undefined: any number). */
export function connectionsFor(rate, limit) {
  return limit ? Math.min(MOST, Math.max(1, Math.ceil(rate / (limit * SHARE)))) : 1;
}

/** Estimate messages a second from stations' last times (ms): of those that speak less often than every five seconds. */
export function rateOf(times) {
  const newest = times.reduce((most, at) => Math.max(most, at), -Infinity);
  return times.filter((at) => newest - at < RECENT_MS).length / (RECENT_MS / 1000);
}

/**
 * Subscribe to an offer's topics by `count` connections. `onUp()` once all are there; `onDown(reason)` once, when the
 * first of them ends. Returns a function that closes them without a word.
 */
export function listen({ url, topics }, count, { onMessage, onUp, onDown }) {
  // Nobody else's group: who joins it takes messages away from it.
  const name = crypto.randomUUID();
  const filters = count === 1 ? topics : topics.map((topic) => `$share/${name}/${topic}`);
  let ended = false;
  let up = 0;
  let members = [];
  const close = () => {
    ended = true;
    members.forEach((end) => end());
  };
  members = Array.from({ length: count }, () =>
    subscribe(url, `dashboard-${crypto.randomUUID()}`, filters, {
      onMessage: (topic, payload) => ended || onMessage(topic, payload),
      onUp: () => {
        up += 1;
        if (up === count && !ended) onUp();
      },
      onDown: (reason) => {
        if (ended) return;
        close();
        onDown(reason);
      },
    }),
  );
  return close;
}
