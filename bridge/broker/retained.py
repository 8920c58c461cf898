"""Retained messages: the last of each topic, on disk."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bridge import properties
from bridge.broker.message import Message
from bridge.topics import STORED_AT_PROPERTY, matcher

_LENGTH_BYTES = 4
# Records that another has replaced, before the file is written anew.
_MOST_STALE = 1000


class _Record(msgspec.Struct, array_like=True):
    """A retained message; without a payload, the end of one. ``at_ms`` is when it came, in epoch milliseconds."""

    topic: str
    payload: bytes
    qos: int
    publisher: str
    properties: bytes
    expires_at: float | None
    at_ms: int


class RetainedMessages:
    """A journal with a record for each retained message that is set or cleared."""

    def __init__(self, path: Path) -> None:
        """Read what a broker before us kept."""
        self._path = path
        self._kept: dict[str, _Record] = {}
        self._stale = 0
        written = path.read_bytes() if path.is_file() else b""
        position = 0
        while position + _LENGTH_BYTES <= len(written):
            start = position + _LENGTH_BYTES
            position = start + int.from_bytes(written[position:start])
            if position > len(written):
                break  # the kill cut the last one: it was never acknowledged
            self._apply(msgspec.msgpack.decode(written[start:position], type=_Record))
        self._write_anew()

    def keep(self, message: Message) -> None:
        """Keep a message as its topic's; an empty payload clears the topic.

        Raises:
            OSError: it could not be written down.
        """
        if not message.payload and message.topic not in self._kept:
            return
        record = _Record(
            message.topic,
            message.payload,
            message.qos,
            message.publisher,
            message.properties,
            message.expires_at,
            int(time.time() * 1000),
        )
        self._file.write(_written(record))
        self._apply(record)
        if self._stale > max(_MOST_STALE, len(self._kept)):
            self._file.close()
            self._write_anew()

    def matching(self, topic_filter: str, *, tell_when: bool = False) -> Iterator[Message]:
        """Yield the messages that are kept for the topics of a filter and have not expired.

        Args:
            topic_filter: may have wildcards.
            tell_when: whether a user property is to say when each one came.
        """
        if "+" in topic_filter or "#" in topic_filter:
            matches = matcher(topic_filter)
            found = [record for topic, record in self._kept.items() if matches(topic)]
        else:
            found = [self._kept[topic_filter]] if topic_filter in self._kept else []
        now = time.time()
        for record in found:
            if record.expires_at is None or record.expires_at > now:
                yield Message(
                    record.topic,
                    record.payload,
                    record.qos,
                    record.publisher,
                    True,
                    record.properties + (_stored_at(record) if tell_when else b""),
                    record.expires_at,
                )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _apply(self, record: _Record) -> None:
        self._stale += record.topic in self._kept
        if record.payload:
            self._kept[record.topic] = record
        else:
            self._stale += 1
            self._kept.pop(record.topic, None)

    def _write_anew(self) -> None:
        partial = self._path.with_suffix(".partial")
        partial.write_bytes(b"".join(_written(record) for record in self._kept.values()))
        partial.rename(self._path)
        self._stale = 0
        # Unbuffered: a record is with the operating system when `keep` returns.
        self._file = self._path.open("ab", buffering=0)


def _written(record: _Record) -> bytes:
    encoded = msgspec.msgpack.encode(record)
    return len(encoded).to_bytes(_LENGTH_BYTES) + encoded


def _stored_at(record: _Record) -> bytes:
    return properties.write({properties.USER: [(STORED_AT_PROPERTY, str(record.at_ms))]})
