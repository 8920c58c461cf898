"""Retained messages: they are the broker's, and are read from it as any subscriber reads them."""

import asyncio
import json
import ssl
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from bridge.data_plane.errors import ServiceError
from bridge.data_plane.session import UnavailableError
from bridge.topics import STORED_AT_PROPERTY

# A certificate's name of its own: Mosquitto gives every client that for its client id.
READER_ID = "data-plane-reader"

_SECONDS = 10.0
_PAGE, _MOST_PAGE = 20, 200


@dataclass(frozen=True)
class RetainedMessage:
    """A retained message; ``at_ms`` is when it came, None where the broker does not say."""

    topic: str
    payload: bytes
    qos: int
    at_ms: int | None
    user: tuple[tuple[str, str], ...]

    def summary(self) -> dict[str, Any]:
        """Return what ``ListRetainedMessages`` says of it."""
        found = {"topic": self.topic, "payloadSize": len(self.payload), "qos": self.qos}
        return found if self.at_ms is None else {**found, "lastModifiedTime": self.at_ms}


class Retained:
    """Reads retained messages over a short connection: subscribes, and then sends itself a mark that comes behind."""

    def __init__(self, host: str, port: int, *, ca: Path, certificate: Path, key: Path) -> None:
        """Connect to nothing yet; the certificate is a trusted client's."""
        self._address = (host, port)
        self._context = ssl.create_default_context(cafile=str(ca))
        self._context.load_cert_chain(certificate, key)
        self._one_at_a_time = asyncio.Lock()

    async def get_retained_message(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``GetRetainedMessage``."""
        topic = parameters["topic"]
        if "+" in topic or "#" in topic:
            raise ServiceError("InvalidRequestException", f"Invalid topic '{topic}': it has wildcards")
        found = [message for message in await self._read(topic) if message.topic == topic]
        if not found:
            raise ServiceError("ResourceNotFoundException", f"No retained message for topic '{topic}'")
        message = found[0]
        answer = {**message.summary(), "payload": message.payload}
        del answer["payloadSize"]
        if message.user:
            answer["userProperties"] = json.dumps([{name: value} for name, value in message.user]).encode()
        return answer

    async def list_retained_messages(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ListRetainedMessages``; the token is the last topic of the page before."""
        size, after = parameters.get("maxResults", _PAGE), parameters.get("nextToken", "")
        if not 1 <= size <= _MOST_PAGE:
            raise ServiceError("InvalidRequestException", f"maxResults must be from 1 to {_MOST_PAGE}")
        found = sorted(await self._read("#"), key=lambda message: message.topic)
        found = [message for message in found if message.topic > after]
        more = {"nextToken": found[size - 1].topic} if len(found) > size else {}
        return {"retainedTopics": [message.summary() for message in found[:size]], **more}

    async def _read(self, topic_filter: str) -> list[RetainedMessage]:
        async with self._one_at_a_time:
            return await asyncio.to_thread(self._read_blocking, topic_filter)

    def _read_blocking(self, topic_filter: str) -> list[RetainedMessage]:
        mark = f"$bridge/marks/{uuid.uuid4().hex}"
        found: list[RetainedMessage] = []
        ended = threading.Event()

        def subscribe(*_: Any) -> None:
            client.subscribe([(mark, 1), (topic_filter, 1)])

        def send_mark(*_: Any) -> None:
            client.publish(mark, b"", qos=1)

        def take(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            if message.topic == mark:
                ended.set()
            elif message.retain:
                found.append(_retained(message))

        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=READER_ID, protocol=mqtt.MQTTv5)
        client.tls_set_context(self._context)
        client.on_connect = subscribe
        client.on_subscribe = send_mark
        client.on_message = take
        try:
            client.connect(*self._address, clean_start=True)
        except OSError as error:
            raise UnavailableError(f"the broker does not answer: {error}") from error
        client.loop_start()
        try:
            if not ended.wait(_SECONDS):
                raise UnavailableError("the broker does not send its retained messages")
        finally:
            client.disconnect()
            client.loop_stop()
        return found


def _retained(message: mqtt.MQTTMessage) -> RetainedMessage:
    user = tuple(getattr(message.properties, "UserProperty", ()))
    stored = dict(user).get(STORED_AT_PROPERTY)
    return RetainedMessage(
        message.topic,
        bytes(message.payload),
        message.qos,
        int(stored) if stored else None,
        tuple(pair for pair in user if pair[0] != STORED_AT_PROPERTY),
    )
