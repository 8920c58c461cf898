// node mqtt_js.mjs JSON: publish to itself with MQTT.js; ends with 1 and a line that says why if anything is not so.
import { readFileSync } from "node:fs";
import mqtt from "mqtt";

const visit = JSON.parse(process.argv[2]);
const [key, value] = visit.property;
let doing = "connect";

function check(what, found, wanted) {
  if (found !== wanted) throw new Error(`${what}: ${found} instead of ${wanted}`);
}

async function echo() {
  const client = await mqtt.connectAsync(
    {
      protocol: "mqtts",
      host: visit.host,
      port: visit.port,
      clientId: visit.name,
      protocolVersion: visit.five ? 5 : 4,
      ca: readFileSync(visit.ca),
      cert: readFileSync(visit.cert),
      key: readFileSync(visit.key),
      reconnectPeriod: 0,
    },
    false,
  );
  const received = new Promise((resolve, reject) => {
    client.once("message", (_topic, payload, packet) => resolve([payload, packet]));
    client.once("close", () => reject(new Error("the connection was closed")));
  });
  doing = "subscribe";
  const [granted] = await client.subscribeAsync(visit.topic, { qos: 1 });
  check("granted QoS", granted.qos, 1);
  doing = "publish";
  const properties = visit.five ? { userProperties: { [key]: value } } : undefined;
  await client.publishAsync(visit.topic, "hello", { qos: 1, properties });
  doing = "receive";
  const [payload, packet] = await received;
  check("payload", payload.toString(), "hello");
  if (visit.five) check("user property", packet.properties?.userProperties?.[key], value);
  doing = "disconnect";
  await client.endAsync();
}

echo().then(
  () => process.exit(0),
  (error) => {
    console.error(`${doing}: ${error.message}`);
    process.exit(1);
  },
);
