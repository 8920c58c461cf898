"""The spool of a persistent session: messages on disk from before they are acknowledged until they are delivered.

Records are written with one ``write`` each and without ``fsync``: they survive the death of the process,
which is what a testbed has to survive, and not a power cut, which it has not. In memory a waiting message
costs its place in the file only, so a long backlog is a matter of disk.
"""

import os
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# A message with more than a topic and a payload has the rest, its length of 4 bytes in front, before its payload.
_ADD, _DONE, _ADD_MORE = 1, 2, 3
_HEAD = struct.Struct("!BQHI")  # kind, number, length of the topic, length of the payload

_SEGMENT_BYTES = 16 * 1024 * 1024
_MORE_LENGTH_BYTES = 4


class Entry(NamedTuple):
    """A waiting message: its number and where it is; ``more`` if something stands before its payload."""

    number: int
    segment: int
    offset: int
    topic_length: int
    payload_length: int
    more: bool = False


class Stored(NamedTuple):
    """What was written down of a message; ``more`` as it was given."""

    topic: bytes
    payload: bytes
    more: bytes


@dataclass
class _Segment:
    handle: int
    path: Path
    size: int = 0
    waiting: set[int] = field(default_factory=set)


class Spool:
    """An append-only log in segments; a segment is removed when everything in it is delivered."""

    def __init__(self, folder: Path) -> None:
        """Open the spool in ``folder`` and read back what waits."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segments: dict[int, _Segment] = {}
        self.waiting: deque[Entry] = deque()
        self._next_number = 1
        found: dict[int, Entry] = {}
        for path in sorted(folder.glob("*.spool")):
            name = int(path.stem)
            segment = _Segment(os.open(path, os.O_RDWR | os.O_APPEND), path)
            for kind, entry in _scan(segment.handle, name):
                if kind != _DONE:
                    found[entry.number] = entry
                else:
                    found.pop(entry.number, None)
                self._next_number = max(self._next_number, entry.number + 1)
                segment.size = entry.offset + entry.topic_length + entry.payload_length
            # A record that the end of the process cut in two is nobody's: it was never acknowledged.
            os.ftruncate(segment.handle, segment.size)
            self._segments[name] = segment
        for entry in sorted(found.values()):
            self._segments[entry.segment].waiting.add(entry.number)
            self.waiting.append(entry)
        self._current = max(self._segments, default=0)
        if not self._segments:
            self._open_segment()

    def append(self, topic: bytes, payload: bytes, more: bytes = b"") -> None:
        """Write a message down; when this returns, the death of the process cannot lose it.

        Args:
            topic: as UTF-8.
            payload: of the message.
            more: whatever belongs to it besides, in the caller's own form.

        Raises:
            OSError: it could not be written (a full disk): the message must not be acknowledged.
        """
        segment = self._segments[self._current]
        if segment.size >= _SEGMENT_BYTES:
            self._open_segment()
            segment = self._segments[self._current]
        number, kind = self._next_number, _ADD
        if more:
            kind, payload = _ADD_MORE, len(more).to_bytes(_MORE_LENGTH_BYTES) + more + payload
        self._write(segment, _HEAD.pack(kind, number, len(topic), len(payload)) + topic + payload)
        offset = segment.size - len(topic) - len(payload)
        self._next_number += 1
        segment.waiting.add(number)
        self.waiting.append(Entry(number, self._current, offset, len(topic), len(payload), bool(more)))

    def read(self, entry: Entry) -> Stored:
        """Return a waiting message."""
        size = entry.topic_length + entry.payload_length
        data = os.pread(self._segments[entry.segment].handle, size, entry.offset)
        topic, payload = data[: entry.topic_length], data[entry.topic_length :]
        if not entry.more:
            return Stored(topic, payload, b"")
        end = _MORE_LENGTH_BYTES + int.from_bytes(payload[:_MORE_LENGTH_BYTES])
        return Stored(topic, payload[end:], payload[_MORE_LENGTH_BYTES:end])

    def done(self, entry: Entry) -> None:
        """Note that a message was delivered, or is not to be."""
        segment = self._segments[entry.segment]
        segment.waiting.discard(entry.number)
        if segment.waiting or entry.segment == self._current:
            try:
                self._write(self._segments[self._current], _HEAD.pack(_DONE, entry.number, 0, 0))
            except OSError:
                return  # delivered again after a restart: harmless
        if not segment.waiting:
            self._drop(entry.segment, segment)

    def close(self) -> None:
        """Close the files."""
        for segment in self._segments.values():
            os.close(segment.handle)
        self._segments.clear()

    def remove(self) -> None:
        """Close and delete."""
        paths = [segment.path for segment in self._segments.values()]
        self.close()
        for path in paths:
            path.unlink(missing_ok=True)

    def _drop(self, name: int, segment: _Segment) -> None:
        if name != self._current:
            del self._segments[name]
            os.close(segment.handle)
            segment.path.unlink(missing_ok=True)
        elif segment.size >= _SEGMENT_BYTES:
            os.ftruncate(segment.handle, 0)
            segment.size = 0

    def _open_segment(self) -> None:
        self._current += 1
        path = self._folder / f"{self._current:012}.spool"
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self._segments[self._current] = _Segment(handle, path)

    def _write(self, segment: _Segment, record: bytes) -> None:
        written = os.write(segment.handle, record)
        if written != len(record):
            os.ftruncate(segment.handle, segment.size)
            raise OSError("the spool's disk is full")
        segment.size += written


def _scan(handle: int, segment: int) -> Iterator[tuple[int, Entry]]:
    with os.fdopen(os.dup(handle), "rb") as file:
        file.seek(0)
        end = os.fstat(handle).st_size
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            kind, number, topic, payload = _HEAD.unpack(head)
            offset = file.tell()
            if offset + topic + payload > end:
                return
            file.seek(topic + payload, os.SEEK_CUR)
            yield kind, Entry(number, segment, offset, topic, payload, kind == _ADD_MORE)
