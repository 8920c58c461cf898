"""Reads from Mosquitto's log who came and who went."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from bridge.presence import Connected, next_version

# Mosquitto 2.0's words. A client of the internal listener has no "u'...'", and is nobody's business.
_CAME = re.compile(r"\d+: New client connected from (\S+?)(?::\d+)? as (.+) \(p\d, c\d, k\d+, u'(.*)'\)\.$")
_STARTED = re.compile(r"\d+: mosquitto version \S+ starting$")
_WENT = (
    (re.compile(r"\d+: Client (.+) already connected, closing old connection\.$"), "DUPLICATE_CLIENTID"),
    (re.compile(r"\d+: Client (.+) has exceeded timeout, disconnecting\.$"), "MQTT_KEEP_ALIVE_TIMEOUT"),
    (re.compile(r"\d+: Client (.+) disconnected, not authorised\.$"), "AUTH_ERROR"),
    (re.compile(r"\d+: Client (.+) been disconnected by administrative action\.$"), "FORBIDDEN_ACCESS"),
    (re.compile(r"\d+: Client (.+) disconnected due to .*\.$"), "CLIENT_ERROR"),
    (re.compile(r"\d+: Client (.+) disconnected\.$"), "CLIENT_INITIATED_DISCONNECT"),
    (re.compile(r"\d+: Client (.+) (?:closed its connection|disconnected: .*)\.$"), "CONNECTION_LOST"),
)

# A log longer than this is emptied when it was read to its end.
_LOG_BYTES = 32 * 1024 * 1024


class _Client(msgspec.Struct):
    certificate_id: str
    address: str
    version: int
    session: str


class _State(msgspec.Struct):
    offset: int = 0
    present: dict[str, _Client] = {}


class PresenceLog:
    """Turns new lines of the log into lifecycle events, from where it left off, over restarts of both."""

    def __init__(self, log: Path, state: Path, *, unseen: frozenset[str]) -> None:
        """``unseen`` are names that come and go without a word: the bridge's."""
        self._log, self._file, self._unseen = log, state, unseen
        self._state = _State()
        if state.is_file():
            self._state = msgspec.json.decode(state.read_bytes(), type=_State)

    @property
    def present(self) -> set[str]:
        """The names of the clients that are connected, as far as was read."""
        return set(self._state.present)

    def events(self, certificate_id: Callable[[str], str]) -> Iterator[tuple[str, bytes]]:
        """Topics and payloads of what happened since the last time.

        Call `remember` when they are published: what was not remembered comes again.

        Args:
            certificate_id: gives the id of the certificate of a name.
        """
        for line in self._new_lines():
            if found := _CAME.match(line):
                address, _, name = found.groups()
                if name in self._unseen:
                    continue
                before = self._state.present.get(name)
                client = Connected(
                    name, certificate_id(name), address, next_version(before.version if before else 0)
                )
                self._state.present[name] = _Client(
                    client.certificate_id, address, client.version, client.session
                )
                yield client.connected()
            elif _STARTED.match(line):
                # It was killed: nobody has said goodbye.
                for name in list(self._state.present):
                    yield from self._gone(name, "SERVER_ERROR")
            else:
                yield from self._went(line)

    def remember(self) -> None:
        """Note that what `events` gave is published: do not give it again."""
        if self._state.offset > _LOG_BYTES and self._state.offset == self._log.stat().st_size:
            # Mosquitto appends, so it goes on at the start.
            with self._log.open("r+b") as log:
                log.truncate(0)
            self._state.offset = 0
        partial = self._file.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(self._state))
        partial.rename(self._file)

    def _went(self, line: str) -> Iterable[tuple[str, bytes]]:
        for pattern, reason in _WENT:
            if found := pattern.match(line):
                return self._gone(found.group(1), reason)
        return ()

    def _gone(self, name: str, reason: str) -> Iterator[tuple[str, bytes]]:
        client = self._state.present.pop(name, None)
        if client is not None:
            connected = Connected(name, client.certificate_id, client.address, client.version, client.session)
            yield connected.disconnected(reason, by_client=reason == "CLIENT_INITIATED_DISCONNECT")

    def _new_lines(self) -> Iterator[str]:
        if not self._log.is_file():
            return
        with self._log.open("rb") as log:
            log.seek(0, 2)
            if log.tell() < self._state.offset:
                self._state.offset = 0  # emptied by somebody
            log.seek(self._state.offset)
            for line in log:
                if not line.endswith(b"\n"):
                    return  # its end is still to come
                self._state.offset += len(line)
                yield line.decode(errors="replace").rstrip("\n")
