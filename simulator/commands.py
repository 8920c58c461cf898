"""What an operator may ask of a station once: a command on its topic, answered on another. No network here."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec

from simulator.journal import Journal
from simulator.state import StateFile

log = logging.getLogger("simulator")


class Command(msgspec.Struct):
    """A message on the station's topic; ``expires_at`` is the moment until which somebody waits for the answer."""

    command_id: str
    command: Literal["restart", "identify", "unlock_slot"]
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)]
    slot: int = 0


class Commands:
    """Carries out the commands of one station."""

    __slots__ = ("_file", "_journal", "_restart", "_slots", "_station_id", "answer_topic", "topic")

    def __init__(
        self,
        station_id: str,
        topic_root: str,
        slots: int,
        restart: Callable[[], None],
        file: StateFile,
        journal: Journal,
    ) -> None:
        """Carry out nothing yet.

        Args:
            station_id: whose.
            topic_root: what stands before it in its topics.
            slots: how many slots it has.
            restart: restarts the station; it may not end the connection before the answer is sent.
            file: remembers what was carried out, over a restart.
            journal: notes it, for the audit.
        """
        self._station_id, self._slots, self._restart = station_id, slots, restart
        self._file, self._journal = file, journal
        self.topic = f"{topic_root}/{station_id}/commands"
        self.answer_topic = f"{topic_root}/{station_id}/answers"

    def hear(self, payload: bytes, now: datetime | None = None) -> bytes | None:
        """Carry out a command, at most once however often it comes.

        Returns:
            The answer to publish; None where nobody waits for it any more, or the payload is no command.
        """
        now = now or datetime.now(UTC)
        try:
            command = msgspec.json.decode(payload, type=Command)
        except msgspec.DecodeError as error:
            log.warning("%s got what is no command: %s", self._station_id, error)
            return None
        if known := self._file.answer(self._station_id, command.command_id):
            return known
        if command.expires_at < now:
            # MQTT may deliver late: nobody expects a restart an hour after it was asked for.
            log.info("%s leaves the expired command %s", self._station_id, command.command_id)
            return None
        answer = bytes(msgspec.json.encode(self._answer(command) | {"answered_at": _text(now)}))
        # Before it is carried out: a program that ends in between has carried it out not at all, and never twice.
        self._file.carries_out(self._station_id, command.command_id, answer, command.expires_at, now)
        self._journal.carries_out(self._station_id, command.command_id, command.command)
        log.info("%s carries out %s (%s)", self._station_id, command.command, command.command_id)
        if command.command == "restart":
            self._restart()
        return answer

    def _answer(self, command: Command) -> dict[str, str]:
        done = {"command_id": command.command_id, "outcome": "succeeded"}
        match command.command:
            case "restart":
                return done | {"detail": "restarts"}
            case "identify":
                return done | {"detail": "its lights blink"}
            case _ if 1 <= command.slot <= self._slots:
                return done | {"detail": f"slot {command.slot} is unlocked"}
            case _:
                return done | {"outcome": "failed", "detail": f"there are slots 1 to {self._slots}"}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
