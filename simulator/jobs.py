"""A station's side of AWS IoT Jobs: firmware that comes with a job, and goes back with one. No network here.

Topics and documents are those of "Jobs device MQTT API" (AWS IoT developer guide). A job's document is

- ``{"operation": "firmware", "version": "3.1.0"}``, with ``"simulated_failures": 0.2`` for a fifth that fails;
- ``{"operation": "roll-back", "version": "3.1.0"}``: who has this version goes back to the one before.

Nothing is downloaded. A station has two slots for firmware, as devices that can go back have.
"""

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from simulator.state import StateFile

log = logging.getLogger("simulator")

_encode = msgspec.json.Encoder().encode
# Percent of the work between two reports.
_STEP = 25

# A topic and what to publish there.
Said = tuple[str, bytes]


class Document(msgspec.Struct):
    """What a job says."""

    operation: Literal["firmware", "roll-back"]
    version: Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z._+-]{1,32}$")]
    simulated_failures: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0


class Execution(msgspec.Struct, rename="camel"):
    """The part of a ``JobExecution`` that a station needs."""

    job_id: str
    execution_number: int = 1
    job_document: Any = None


class _Message(msgspec.Struct):
    execution: Execution | None = None


@dataclass
class _Work:
    """An execution under way; one that fails does so at ``fails_at`` percent."""

    execution: Execution
    version: str
    fails_at: int | None
    percent: int = 0


class Jobs:
    """Carries out the jobs of one station, one at a time."""

    __slots__ = (
        "_before",
        "_file",
        "_install",
        "_prefix",
        "_restart",
        "_seed",
        "_station_id",
        "_work",
        "version",
    )

    def __init__(
        self,
        station_id: str,
        seed: int,
        version: str,
        file: StateFile,
        install: Callable[[str], None],
        restart: Callable[[], None],
    ) -> None:
        """Begin with the firmware that the file has of the station, or ``version``.

        Args:
            station_id: whose.
            seed: the fleet's; with the station and the job it says who fails.
            version: firmware that the station was made with.
            file: where firmware is kept over a restart.
            install: called with the firmware that the station has from now on.
            restart: restarts the station; it may not end the connection before the last message is sent.
        """
        self._station_id, self._seed, self._file = station_id, seed, file
        self._install, self._restart = install, restart
        self._prefix = f"$aws/things/{station_id}/jobs"
        self._work: _Work | None = None
        self.version, self._before = file.firmware(station_id) or (version, version)
        install(self.version)

    @property
    def filters(self) -> tuple[str, ...]:
        """What to subscribe to before asking."""
        return f"{self._prefix}/notify-next", f"{self._prefix}/start-next/accepted"

    @property
    def start(self) -> Said:
        """What asks for the next job, or for the one that a restart or a lost connection cut off."""
        return f"{self._prefix}/start-next", b"{}"

    @property
    def working(self) -> bool:
        """Whether `step` has something to do."""
        return self._work is not None

    def hear(self, topic: str, payload: bytes) -> Said | None:
        """Take a message of the Jobs service; return what to publish, if anything."""
        name = topic.removeprefix(f"{self._prefix}/")
        try:
            execution = msgspec.json.decode(payload, type=_Message).execution
        except msgspec.DecodeError as error:
            log.warning("%s got what is no message of Jobs: %s", self._station_id, error)
            return None
        if self._work and not _same(execution, self._work.execution):
            # Over for the service: canceled, timed out, deleted, or another goes first.
            self._work = None
        if execution is None or self._work:
            return None
        return self._take(execution) if name == "start-next/accepted" else self.start

    def step(self) -> Said | None:
        """Go on with the work; return what to publish, if there is any work.

        At its end the station restarts with the new firmware. It says that it succeeded after that, when it asks for
        the next job and is given this one again.
        """
        work = self._work
        if work is None:
            return None
        work.percent += _STEP
        if work.fails_at == work.percent:
            self._work = None
            return self._said(work, "FAILED", reason="the checksum is wrong")
        if work.percent == 100:
            self._work = None
            self._keep(work.version)
            self._restart()
        return self._said(work, "IN_PROGRESS")

    def _take(self, execution: Execution) -> Said | None:
        try:
            document = msgspec.convert(execution.job_document, Document)
        except msgspec.ValidationError as error:
            refused = _Work(execution, self.version, None)
            return self._said(refused, "REJECTED", reason=f"no job for a station: {error}"[:1000])
        version = document.version
        if document.operation == "roll-back":
            version = self._before if self.version == version else self.version
        work = _Work(execution, version, self._fails_at(execution, document.simulated_failures))
        if version == self.version:
            work.percent = 100
            return self._said(work, "SUCCEEDED")
        self._work = work
        return None

    def _fails_at(self, execution: Execution, share: float) -> int | None:
        chance = random.Random(
            f"{self._seed}/{self._station_id}/{execution.job_id}/{execution.execution_number}"
        )
        return _STEP * chance.randint(1, 3) if chance.random() < share else None

    def _keep(self, version: str) -> None:
        self._before, self.version = self.version, version
        self._file.installs(self._station_id, version, self._before)
        log.info("%s has firmware %s, and had %s", self._station_id, version, self._before)
        self._install(version)

    def _said(self, work: _Work, status: str, **more: str) -> Said:
        details = {"percent": str(work.percent), "firmware": self.version, **more}
        update = {
            "status": status,
            "statusDetails": details,
            "executionNumber": work.execution.execution_number,
        }
        return f"{self._prefix}/{work.execution.job_id}/update", bytes(_encode(update))


def _same(one: Execution | None, other: Execution) -> bool:
    return one is not None and (one.job_id, one.execution_number) == (other.job_id, other.execution_number)
