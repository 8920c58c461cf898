// MQTT 3.1.1 over WebSocket, subscribing at QoS 0 only: all that this page needs of it.
// Section numbers refer to the OASIS standard "MQTT Version 3.1.1".

const KEEP_ALIVE_SECONDS = 30;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

const text = (value) => {
  const bytes = encoder.encode(value);
  return [bytes.length >> 8, bytes.length & 255, ...bytes];
};

const packet = (head, body) => {
  const length = [];
  let size = body.length;
  do {
    length.push((size & 127) | (size > 127 ? 128 : 0));
    size >>= 7;
  } while (size);
  return new Uint8Array([head, ...length, ...body]);
};

/**
 * Connect once and subscribe. `onMessage(topic, payload text)`; `onUp()` after the subscription is granted;
 * `onDown(reason)` exactly once, at the end. Returns a function that closes it.
 */
export function subscribe(url, clientId, topics, { onMessage, onUp, onDown }) {
  const socket = new WebSocket(url, "mqtt");
  socket.binaryType = "arraybuffer";
  let pending = new Uint8Array(0);
  let heard = performance.now();
  let timer = 0;
  let ended = false;

  const end = (reason) => {
    if (ended) return;
    ended = true;
    clearInterval(timer);
    socket.close();
    onDown(reason);
  };

  const take = (kind, flags, body) => {
    if (kind === 2) {
      if (body[1] !== 0) return end(`the broker refused the connection (${body[1]})`);
      socket.send(packet(0x82, [0, 1, ...topics.flatMap((topic) => [...text(topic), 0])]));
    } else if (kind === 9) {
      if (body.subarray(2).includes(128)) return end("the broker refused the subscription");
      onUp();
    } else if (kind === 3) {
      const size = (body[0] << 8) | body[1];
      const start = 2 + size + (flags & 6 ? 2 : 0);
      onMessage(decoder.decode(body.subarray(2, 2 + size)), decoder.decode(body.subarray(start)));
    }
  };

  socket.onopen = () => {
    socket.send(packet(0x10, [...text("MQTT"), 4, 2, 0, KEEP_ALIVE_SECONDS, ...text(clientId)]));
    timer = setInterval(() => {
      // 3.1.2.10: a server that does not answer a ping in reasonable time is gone.
      if (performance.now() - heard > KEEP_ALIVE_SECONDS * 1500) end("the connection went silent");
      else if (socket.readyState === WebSocket.OPEN) socket.send(packet(0xc0, []));
    }, (KEEP_ALIVE_SECONDS * 1000) / 2);
  };
  socket.onclose = (event) => end(event.reason || "the connection was closed");
  socket.onmessage = ({ data }) => {
    heard = performance.now();
    const fresh = new Uint8Array(data);
    let bytes = fresh;
    if (pending.length) {
      bytes = new Uint8Array(pending.length + fresh.length);
      bytes.set(pending);
      bytes.set(fresh, pending.length);
    }
    let at = 0;
    while (!ended) {
      let length = 0;
      let shift = 0;
      let head = at + 1;
      while (head < bytes.length && bytes[head] > 127) {
        length |= (bytes[head++] & 127) << shift;
        shift += 7;
      }
      if (head >= bytes.length) break;
      length |= bytes[head++] << shift;
      if (head + length > bytes.length) break;
      take(bytes[at] >> 4, bytes[at] & 15, bytes.subarray(head, head + length));
      at = head + length;
    }
    pending = bytes.slice(at);
  };
  return () => end("closed by the page");
}
