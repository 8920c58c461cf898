"""Play operators: they change settings and send commands while things break, and keep a ledger of what was accepted.

What the API accepted (202) goes to the ledger, as the broker's acknowledgements go to a simulator's, so the audit holds
it. What was refused, or not answered, is counted: nobody was promised anything.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import Any

import msgspec

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.pipeline import api
from testbed.proofs.ledgers import Changed, Commanded

_PAUSE_SECONDS = (0.1, 0.8)
# Long enough for a command to be sent again after most faults, and to a station that comes back.
_COMMAND_SECONDS = 120
_PATIENCE_SECONDS = 120
# A command to a station that is not connected yet reaches nobody; under its id it is the same command again.
_SEND_AGAIN_SECONDS = 5
# Of the newest commands, so many are sent once more to stations that have come back.
_SENT_AGAIN = 5
# Stations that are changed while they are away, and that are sent commands when they are back.
_CHANGED = 5
_ACCEPTED, _CONFLICT = 202, 409


class Operator:
    """Several operators, of whom two may want the same at once; ``counts`` says what became of what they wanted."""

    def __init__(self, deployment: Deployment, stations: Sequence[str], ledger: Path, seed: int) -> None:
        """Do nothing yet.

        Args:
            deployment: whose API is asked.
            stations: whom to change.
            ledger: file for what was accepted.
            seed: of what is wanted, of whom, and when.
        """
        self._deployment, self._stations, self._ledger = deployment, stations, ledger
        self._random = random.Random(f"{seed}/operator")  # noqa: S311  # a schedule, not a secret
        self._run_id = f"{time.time_ns():x}"
        self._sent: list[tuple[str, dict[str, Any]]] = []
        self._changed: set[str] = set()
        self._writing, self._enough = Lock(), Event()
        self.counts: Counter[str] = Counter()
        ledger.touch()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Change and command in the background until the block ends."""
        with ThreadPoolExecutor(1) as pool:
            work = pool.submit(self._work)
            try:
                yield
            finally:
                self._enough.set()
            work.result()

    def change_some(self) -> None:
        """Change something at a few stations, such as are away; at each two operators want something else at once.

        Raises:
            TestbedError: nothing is accepted.
        """
        for station in self._random.sample(self._stations, min(_CHANGED, len(self._stations))):
            self._persist(partial(self.contend, station), f"the API accepts no change of {station}")

    def command_some(self) -> None:
        """Send a command to each of a few stations, again where it was not there yet, and wait for their answers.

        Raises:
            TestbedError: one does not answer.
        """
        for station in self._random.sample(self._stations, min(_CHANGED, len(self._stations))):
            self.command(station)
            self._persist(partial(self._answered, *self._sent[-1]), f"{station} does not answer a command")

    def _answered(self, station: str, wanted: dict[str, Any]) -> bool:
        path = f"/stations/{station}/commands/{wanted['command_id']}"
        deadline = time.monotonic() + _SEND_AGAIN_SECONDS
        while time.monotonic() < deadline:
            status, found = self._ask(lambda at: api.get(self._deployment, at), path)
            if status == 200 and found["state"] in ("succeeded", "failed"):
                return True
            time.sleep(_PAUSE_SECONDS[0])
        self._send(station, wanted)
        return False

    def _persist(self, attempt: Callable[[], bool], otherwise: str) -> None:
        """Try until it succeeds or it is too late."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not attempt():
            if time.monotonic() > deadline:
                raise TestbedError(f"For {_PATIENCE_SECONDS} s {otherwise}.", "See make logs.")
            time.sleep(_PAUSE_SECONDS[0])

    def send_again(self) -> None:
        """Send the newest commands once more, under their ids."""
        for station, wanted in self._sent[-_SENT_AGAIN:]:
            self._send(station, wanted)

    def wait_until_reported(self) -> None:
        """Wait until each station that was changed has reported, or refused, all that is desired of it.

        Raises:
            TestbedError: one has not.
        """
        for station in sorted(self._changed):
            self._persist(partial(self._settled, station), f"{station} does not report what is set")

    def _settled(self, station: str) -> bool:
        status, found = self._ask(lambda at: api.get(self._deployment, at), _settings(station))
        return status == 200 and not found["pending"]

    # --- what they do ------------------------------------------------------------

    def _work(self) -> None:
        kinds: list[Callable[[str], object]] = [self.change, self.contend, self.command]
        turns: list[Callable[[str], object]] = []
        while not self._enough.wait(self._random.uniform(*_PAUSE_SECONDS)):
            # In rounds, so that a short run has each of them.
            turns = turns or self._random.sample(kinds, len(kinds), counts=[4, 1, 3])
            turns.pop()(self._random.choice(self._stations))

    def change(self, station: str) -> bool:
        """Change settings by the version that was read, again if nobody answered; return whether it is accepted."""
        version = self._version(station)
        if version is None:
            return False
        # Some do not care what others did.
        wanted = self._wanted() | ({} if self._random.random() < 0.2 else {"version": version})
        return (self._patch(station, wanted) or self._patch(station, wanted)) == _ACCEPTED

    def contend(self, station: str) -> bool:
        """Change settings as two do who read the same version; return whether one of them won."""
        version = self._version(station)
        if version is None:
            return False
        both = [self._wanted() | {"version": version} for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            return _ACCEPTED in pool.map(lambda wanted: self._patch(station, wanted), both)

    def command(self, station: str) -> str:
        """Send a command, or twice under the same id; return the id."""
        name = self._random.choice(["identify", "identify", "unlock_slot", "restart"])
        slot = {"slot": self._random.randint(1, 5)} if name == "unlock_slot" else {}
        command_id = f"{self._run_id}-{len(self._sent)}"
        wanted = {"command": name, "command_id": command_id, "timeout_seconds": _COMMAND_SECONDS, **slot}
        self._sent.append((station, wanted))
        if not self._send(station, wanted) or self._random.random() < 0.5:
            self._send(station, wanted)
        return command_id

    def _wanted(self) -> dict[str, Any]:
        choose = self._random
        change: dict[str, Any] = choose.choice(
            [
                {"charging_power_limit_kw": choose.randint(0, 1200)},
                {"max_state_of_charge_percent": choose.randint(50, 100)},
                {"maintenance_mode": True, "maintenance_reason": f"drill {choose.randint(1, 99)}"},
                {"maintenance_mode": False, "charging_power_limit_kw": choose.randint(0, 1200)},
            ]
        )
        return {"settings": change}

    # --- how ---------------------------------------------------------------------

    def _version(self, station: str) -> int | None:
        status, found = self._ask(lambda at: api.get(self._deployment, at), _settings(station))
        return found["version"] if status == 200 else None

    def _patch(self, station: str, wanted: dict[str, Any]) -> int:
        """Ask for a change; return the status, 0 where nobody answered."""
        self._changed.add(station)
        status, found = self._ask(
            lambda at: api.send(self._deployment, "PATCH", at, wanted), _settings(station)
        )
        if status == _ACCEPTED:
            self._note("changes accepted", Changed(station, _now(), found["version"], wanted["settings"]))
        elif status == _CONFLICT:
            self.counts["conflicts"] += 1
        return status if status in (_ACCEPTED, _CONFLICT) else 0

    def _send(self, station: str, wanted: dict[str, Any]) -> bool:
        """Send a command; return whether it was accepted."""
        path = f"/stations/{station}/commands"
        status, _ = self._ask(lambda at: api.send(self._deployment, "POST", at, wanted), path)
        if status == _ACCEPTED:
            line = Commanded(station, _now(), wanted["command_id"], wanted["command"])
            self._note("commands accepted (again, too)", line)
        return status == _ACCEPTED

    def _ask(self, ask: Callable[[str], tuple[int, Any]], path: str) -> tuple[int, Any]:
        try:
            status, found = ask(path)
        except TestbedError:
            status, found = 0, None
        if not status or status >= 500:
            self.counts["not answered"] += 1
        return status, found

    def _note(self, what: str, line: Changed | Commanded) -> None:
        # Two may be accepted at once.
        with self._writing, self._ledger.open("ab") as ledger:
            ledger.write(msgspec.json.encode(line) + b"\n")
            self.counts[what] += 1


def _settings(station: str) -> str:
    return f"/stations/{station}/settings"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
