"""What an operator may ask of a station once: a command on its topic, answered on another. No network here."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

log = logging.getLogger("simulator")

# Answers that a station remembers: a command that comes again is answered again and carried out once.
_REMEMBERED = 64


class Command(msgspec.Struct):
    """A message on the station's topic; ``expires_at`` is the moment until which somebody waits for the answer."""

    command_id: str
    command: Literal["restart", "identify", "unlock_slot"]
    expires_at: datetime
    slot: int = 0


class Commands:
    """Carries out the commands of one station."""

    __slots__ = ("_answers", "_restart", "_slots", "_station_id", "answer_topic", "topic")

    def __init__(self, station_id: str, topic_root: str, slots: int, restart: Callable[[], None]) -> None:
        """Take ``restart`` for what restarts the station; it may not end the connection before the answer is sent."""
        self._station_id, self._slots, self._restart = station_id, slots, restart
        self.topic = f"{topic_root}/{station_id}/commands"
        self.answer_topic = f"{topic_root}/{station_id}/answers"
        self._answers: dict[str, bytes] = {}

    def hear(self, payload: bytes, now: datetime | None = None) -> bytes | None:
        """Carry out a command once.

        Returns:
            The answer to publish; None where nobody waits for it any more, or the payload is no command.
        """
        now = now or datetime.now(UTC)
        try:
            command = msgspec.json.decode(payload, type=Command)
        except msgspec.DecodeError as error:
            log.warning("%s got what is no command: %s", self._station_id, error)
            return None
        if known := self._answers.get(command.command_id):
            return known
        if command.expires_at < now:
            # MQTT may deliver late: nobody expects a restart an hour after it was asked for.
            log.info("%s leaves the expired command %s", self._station_id, command.command_id)
            return None
        log.info("%s carries out %s (%s)", self._station_id, command.command, command.command_id)
        answer = bytes(msgspec.json.encode(self._carry_out(command) | {"answered_at": _text(now)}))
        self._answers[command.command_id] = answer
        if len(self._answers) > _REMEMBERED:
            del self._answers[next(iter(self._answers))]
        return answer

    def _carry_out(self, command: Command) -> dict[str, Any]:
        done = {"command_id": command.command_id, "outcome": "succeeded"}
        match command.command:
            case "restart":
                self._restart()
                return done | {"detail": "restarts"}
            case "identify":
                return done | {"detail": "its lights blink"}
            case _ if 1 <= command.slot <= self._slots:
                return done | {"detail": f"slot {command.slot} is unlocked"}
            case _:
                return done | {"outcome": "failed", "detail": f"there are slots 1 to {self._slots}"}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
