// node peer.mjs LOAD, a file: what `bench.fleet.load.Load` says, with MQTT.js.
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const WINDOW = 20;
const load = JSON.parse(readFileSync(process.argv[2]));
const payload = Buffer.alloc(load.payload_bytes, "x");
const done = { connected: 0, published: 0, connect_seconds: 0 };
const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const now = () => Number(process.hrtime.bigint()) / 1e9;

function connect(name) {
  const tls = load.certificates
    ? {
        protocol: "mqtts",
        ca: readFileSync(load.ca),
        cert: readFileSync(`${load.certificates}/${name}.crt`),
        key: readFileSync(`${load.certificates}/${name}.key`),
      }
    : { protocol: "mqtt" };
  return mqtt.connectAsync({ host: load.host, port: load.port, clientId: name, ...tls });
}

function publish(client, topic) {
  return new Promise((resolve) => {
    let sent = 0, acknowledged = 0;
    const next = () => {
      if (sent >= load.messages) return;
      sent += 1;
      client.publish(topic, payload, { qos: 1 }, () => {
        done.published += 1;
        acknowledged += 1;
        if (acknowledged === load.messages) resolve();
        else if (load.interval) setTimeout(next, 1000 * load.interval);
        else next();
      });
    };
    if (!load.messages) resolve();
    for (let i = 0; i < (load.interval ? 1 : WINDOW); i++) next();
  });
}

const begun = now();
const pending = [];
for (const [number, name] of load.names.entries()) {
  const early = begun + number / load.ramp - now();
  if (early > 0.002) await sleep(early);
  pending.push(connect(name));
}
const clients = await Promise.all(pending);
done.connected = clients.length;
done.connect_seconds = now() - begun;
await Promise.all(clients.map((client, i) => publish(client, load.topic.replace("{station_id}", load.names[i]))));
await sleep(load.hold);
await Promise.all(clients.map((client) => client.endAsync()));
console.log(JSON.stringify(done));
