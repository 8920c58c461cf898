"""Make the load that a file describes (see `bench.fleet.load.Load`): ``python peers.py LIBRARY FILE``.

Runs in an environment of its own. Each client has a window of 20 unacknowledged messages, as the simulator's
stations do; each library is used as its documentation shows.
"""

import asyncio
import json
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

WINDOW = 20
LOAD: dict[str, Any] = json.loads(Path(sys.argv[2]).read_text())
PAYLOAD = b"x" * LOAD["payload_bytes"]
DONE = {"connected": 0, "published": 0, "connect_seconds": 0.0}


def topic(name: str) -> str:
    return str(LOAD["topic"]).format(station_id=name)


def context(name: str) -> ssl.SSLContext | None:
    if not LOAD["certificates"]:
        return None
    made = ssl.create_default_context(cafile=LOAD["ca"])
    made.load_cert_chain(f"{LOAD['certificates']}/{name}.crt", f"{LOAD['certificates']}/{name}.key")
    return made


Publish = Callable[[], Awaitable[Any]]


async def run(client: Callable[[str], Any]) -> None:
    """Drive clients whose publish is awaited until it is acknowledged."""
    begun, everybody, stop = time.monotonic(), asyncio.Event(), asyncio.Event()

    async def one(name: str) -> None:
        async with client(name) as publish:
            DONE["connected"] += 1
            if DONE["connected"] == len(LOAD["names"]):
                DONE["connect_seconds"] = time.monotonic() - begun
                everybody.set()
            await everybody.wait()
            await asyncio.gather(
                *(worker(publish, number) for number in range(WINDOW if not LOAD["interval"] else 1))
            )
            await stop.wait()

    async def worker(publish: Publish, number: int) -> None:
        if LOAD["interval"]:
            for _ in range(LOAD["messages"]):
                await publish()
                DONE["published"] += 1
                await asyncio.sleep(LOAD["interval"])
            return
        for _ in range(number, LOAD["messages"], WINDOW):
            await publish()
            DONE["published"] += 1

    tasks = []
    for number, name in enumerate(LOAD["names"]):
        early = begun + number / LOAD["ramp"] - time.monotonic()
        if early > 0.005:
            await asyncio.sleep(early)
        tasks.append(asyncio.create_task(one(name)))
    wanted = len(tasks) * LOAD["messages"]
    await everybody.wait()
    while DONE["published"] < wanted:
        await asyncio.sleep(0.05)
    await asyncio.sleep(LOAD["hold"])
    stop.set()
    await asyncio.gather(*tasks)


def aiomqtt() -> None:
    import aiomqtt

    @asynccontextmanager
    async def client(name: str) -> AsyncIterator[Publish]:
        async with aiomqtt.Client(
            LOAD["host"], LOAD["port"], identifier=name, tls_context=context(name)
        ) as made:
            yield lambda: made.publish(topic(name), PAYLOAD, qos=1)

    asyncio.run(run(client))


def amqtt() -> None:
    from amqtt.client import MQTTClient

    @asynccontextmanager
    async def client(name: str) -> AsyncIterator[Publish]:
        made = MQTTClient(client_id=name, config={"auto_reconnect": False})
        await made.connect(f"mqtt://{LOAD['host']}:{LOAD['port']}/")
        yield lambda: made.publish(topic(name), PAYLOAD, qos=1)
        await made.disconnect()

    asyncio.run(run(client))


def gmqtt() -> None:
    import uvloop
    from gmqtt import Client
    from gmqtt.mqtt.constants import MQTTv311
    from gmqtt.storage import PersistentStorage

    class Store(PersistentStorage):
        """The place where gmqtt notes what is not acknowledged; nothing else tells of an acknowledgement."""

        def remove_message_by_mid(self, mid: int) -> None:
            super().remove_message_by_mid(mid)
            self.waiting.popleft().set_result(None)

    @asynccontextmanager
    async def client(name: str) -> AsyncIterator[Publish]:
        from collections import deque

        store = Store()
        store.waiting = deque()
        made = Client(name, persistent_storage=store)
        await made.connect(LOAD["host"], LOAD["port"], ssl=context(name) or False, version=MQTTv311)
        loop = asyncio.get_running_loop()

        def publish() -> Awaitable[None]:
            acknowledged = loop.create_future()
            store.waiting.append(acknowledged)
            made.publish(topic(name), PAYLOAD, qos=1)
            return acknowledged

        yield publish
        await made.disconnect()

    uvloop.run(run(client))


def paho() -> None:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    changed = threading.Condition()

    def count(what: str) -> Callable[..., None]:
        def counted(*_: object) -> None:
            with changed:
                DONE[what] += 1
                changed.notify_all()

        return counted

    begun, clients = time.monotonic(), []
    for number, name in enumerate(LOAD["names"]):
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
        if secured := context(name):
            client.tls_set_context(secured)
        client.max_inflight_messages_set(WINDOW)
        client.on_connect, client.on_publish = count("connected"), count("published")
        time.sleep(max(0.0, begun + number / LOAD["ramp"] - time.monotonic()))
        client.connect(LOAD["host"], LOAD["port"])
        client.loop_start()
        clients.append((client, topic(name)))
    with changed:
        changed.wait_for(lambda: DONE["connected"] == len(clients))
    DONE["connect_seconds"] = time.monotonic() - begun
    begun = time.monotonic()
    for turn in range(LOAD["messages"]):
        time.sleep(max(0.0, begun + turn * LOAD["interval"] - time.monotonic()))
        for client, where in clients:
            client.publish(where, PAYLOAD, qos=1)
    with changed:
        changed.wait_for(lambda: DONE["published"] == len(clients) * LOAD["messages"])
    time.sleep(LOAD["hold"])
    for client, _ in clients:
        client.disconnect()
        client.loop_stop()


if __name__ == "__main__":
    {"aiomqtt": aiomqtt, "amqtt": amqtt, "gmqtt": gmqtt, "paho": paho}[sys.argv[1]]()
    print(json.dumps(DONE))
