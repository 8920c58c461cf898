"""Play stations that misbehave: they send what cannot be read, have a wrong clock, and say everything again.

What the broker acknowledged to them goes to a ledger, as a simulator's does, so the audit holds it, too.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from testbed.archive import reader
from testbed.deploy.deployment import Deployment
from testbed.pipeline import dead_letters
from testbed.proofs.ledgers import LedgerLine
from testbed.stations.mqtt import Device

_PATIENCE_SECONDS = 30.0
_MESSAGES = 5
# Seconds that the messages of a station are old which sends its newest first: points of three minutes or four.
_BACKLOG_SECONDS = (150, 100, 50, 25)
# Clocks: minutes off. More than five minutes ahead is refused; everything else is good data.
_SKEWS_MINUTES = (-90, -5, 2, 4)


class Misbehaving:
    """A few stations that publish only when told to."""

    def __init__(
        self,
        deployment: Deployment,
        names: Sequence[str],
        silent: Sequence[str],
        ledger: Path,
        rng: random.Random,
    ) -> None:
        """Take ``names`` and ``silent``, which are enrolled; ``rng`` chooses among them and what they send.

        ``silent`` are those that `send_past_last` alone uses: nothing that they say later sets right what it did.
        """
        self._deployment, self._names, self._silent, self._rng = deployment, names, silent, rng
        self._ledger = ledger
        self._sequence = 0
        self._run_id = f"{time.time_ns():x}"
        # Texts that acknowledged poison holds; each must come out at the dead-letter queue.
        self._poison: set[str] = set()
        ledger.touch()

    def send_poison(self) -> None:
        """Send every kind of payload that cannot be stored, with a good neighbour."""
        name = self._rng.choice(list(self._names))
        good = self._good(name, datetime.now(UTC))
        marked: list[tuple[str, bytes]] = []
        for kind, make in _POISON.items():
            mark = f"poison-{kind}-{self._run_id}-{self._next()}"
            marked.append((mark, make(name, mark)))
        self._rng.shuffle(marked)
        payloads = [json.dumps(good).encode(), *(payload for _, payload in marked)]
        acknowledged = self._publish(name, payloads)
        self._note([good] if acknowledged and acknowledged[0] else [])
        self._poison |= {mark for (mark, _), taken in zip(marked, acknowledged[1:], strict=True) if taken}

    def send_with_wrong_clock(self) -> None:
        """Send messages whose time is minutes or hours off, as from a station whose clock was just set."""
        name = self._rng.choice(list(self._names))
        minutes = self._rng.choice(_SKEWS_MINUTES)
        start = datetime.now(UTC) + timedelta(minutes=minutes)
        self._send(name, [self._good(name, start + timedelta(seconds=each)) for each in range(_MESSAGES)])

    def replay(self) -> None:
        """Send messages, lose the connection, and send the same messages once more in the other order."""
        name = self._rng.choice(list(self._names))
        documents = [self._good(name, datetime.now(UTC)) for _ in range(_MESSAGES)]
        self._send(name, documents)
        self._send(name, documents[::-1])

    def send_past_last(self) -> None:
        """Send the newest message; when the table shows it, those from before it; and then nothing more.

        So does a station that was cut off, says how it is, and then empties its memory; and a queue without an order
        may deliver what was said in order the same way. A table that moves back stays there.
        """
        name = self._rng.choice(list(self._silent))
        now = datetime.now(UTC)
        past = [self._good(name, now - timedelta(seconds=each)) for each in _BACKLOG_SECONDS]
        newest = self._good(name, now)
        self._send(name, [newest])
        self._wait_until_shown(newest)
        self._send(name, past)

    @property
    def poison_sent(self) -> int:
        """How many payloads that cannot be stored were acknowledged."""
        return len(self._poison)

    def lost_poison(self) -> list[str]:
        """Return acknowledged poison that the dead-letter queue does not hold."""
        outputs = self._deployment.outputs
        letters = dead_letters.read(self._deployment.client("sqs"), outputs.dead_letter_queue_url)
        texts = "\n".join(letter.payload.decode("utf-8", "replace") for letter in letters)
        return sorted(mark for mark in self._poison if mark not in texts)

    def stored_poison(self) -> list[str]:
        """Return poison that was archived as if it were good."""
        outputs = self._deployment.outputs
        ids = {
            record["message_id"]
            for record in reader.records(self._deployment.client("s3"), outputs.telemetry_bucket_name)
        }
        return sorted(self._poison & ids)

    def _send(self, name: str, documents: Sequence[dict[str, Any]]) -> None:
        acknowledged = self._publish(name, [json.dumps(document).encode() for document in documents])
        self._note([each for each, taken in zip(documents, acknowledged, strict=True) if taken])

    def _wait_until_shown(self, document: dict[str, Any]) -> None:
        """Wait until the table has it; in one batch with older ones, it would protect itself."""
        table, key = self._deployment.outputs.stations_table_name, {"S": document["station_id"]}
        client = self._deployment.client("dynamodb")
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            answer = client.get_item(TableName=table, Key={"station_id": key}, ConsistentRead=True)
            if answer.get("Item", {}).get("message_id", {}).get("S") == document["message_id"]:
                return
            time.sleep(0.1)

    def _good(self, name: str, moment: datetime) -> dict[str, Any]:
        number = self._next()
        return {
            "station_id": name,
            "battery_available": number % 13,
            "slots": 13,
            "sequence": number,
            "message_id": f"{name}-{self._run_id}-{number}",
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _publish(self, name: str, payloads: Sequence[bytes]) -> list[bool]:
        """Publish over a connection of its own that ends without a farewell; return which were acknowledged."""
        device = Device.of(self._deployment, self._deployment.certificates / f"{name}.crt")
        device.connected()
        try:
            return device.deliver(self._deployment.telemetry_topic(name), *payloads)
        finally:
            device.drop()

    def _note(self, documents: Sequence[dict[str, Any]]) -> None:
        with self._ledger.open("ab") as ledger:
            for document in documents:
                ledger.write(msgspec.json.encode(msgspec.convert(document, LedgerLine)) + b"\n")


def _telemetry(name: str, mark: str, **changes: Any) -> bytes:
    document = {
        "station_id": name,
        "battery_available": 3,
        "slots": 13,
        "message_id": mark,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    kept = {key: value for key, value in (document | changes).items() if value is not None}
    return json.dumps(kept).encode()


_POISON: dict[str, Callable[[str, str], bytes]] = {
    "not-json": lambda _, mark: f"{{{mark}".encode(),
    "not-utf8": lambda _, mark: b"\xff\xfe" + mark.encode(),
    "an-array": lambda _, mark: json.dumps([mark]).encode(),
    "missing": lambda name, mark: _telemetry(name, mark, timestamp=None),
    "wrong-type": lambda name, mark: _telemetry(name, mark, battery_available="three"),
    "nan": lambda name, mark: _telemetry(name, mark, temperature_c=float("nan")),
    "out-of-range": lambda name, mark: _telemetry(name, mark, battery_available=14),
    "two-days-ahead": lambda name, mark: _telemetry(
        name, mark, timestamp=(datetime.now(UTC) + timedelta(days=2)).isoformat()
    ),
    "another-station": lambda name, mark: _telemetry(f"{name}x", mark),
}
