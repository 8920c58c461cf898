"""An archive of messages that are known beforehand, written as the handler writes it."""

import json
import random
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

from telemetry_handler import archive
from telemetry_handler.archive import Line

SEED = 11
STATIONS = ("one", "two", "three")


def messages(first: date, *, seed: int = SEED, hours: int = 30, minutes: int = 5) -> list[dict[str, Any]]:
    """Make archived lines from midnight of ``first``: three stations, a message every ``minutes``.

    With all that happens: messages received twice, hours late, or said in another time zone; a counter that starts
    again; silences; a batch that was tried again. Message ids are of that day, so that no two tests share one.
    """
    rng = random.Random(seed)
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    lines: list[dict[str, Any]] = []
    for station in STATIONS:
        swaps, ready = 0, 5
        for step in range(hours * 60 // minutes):
            if rng.random() < 0.03:
                continue  # silence
            said = start + timedelta(
                minutes=step * minutes, seconds=rng.randrange(60), milliseconds=rng.randrange(1000)
            )
            taken = min(ready, rng.randrange(3))
            swaps, ready = swaps + taken, min(13, ready - taken + rng.randrange(3))
            if rng.random() < 0.01:
                swaps = 0
            late = rng.choice([0.2, 0.2, 0.2, 90.0, 7200.0]) if rng.random() < 0.1 else 0.2
            message: dict[str, Any] = {
                "station_id": f"{station}-{first}",
                "battery_available": ready,
                "timestamp": _written(said, rng),
                "message_id": f"{station}-{first}-{step}",
                "sequence": step,
                "slots": 13,
                "charging": 13 - ready,
                "swaps_total": swaps,
                "colour": {"deep": [1, 2.5, None, "ü"]},
                "_received_at": round((said.timestamp() + late) * 1000),
                "_topic": f"ev-swap/stations/{station}-{first}/telemetry",
                "_source_message_id": f"sqs-{station}-{first}-{step}",
            }
            lines.append(message)
            if rng.random() < 0.05:  # the station published it again
                lines.append(
                    message
                    | {
                        "_received_at": message["_received_at"] + 1500,
                        "_source_message_id": message["_source_message_id"] + "-again",
                    }
                )
    return lines


def store(s3: Any, bucket: str, lines: list[dict[str, Any]], *, retried: int = 3) -> list[str]:
    """Put ``lines`` into the archive, in batches as the handler makes them; ``retried`` of them in two batches.

    Returns:
        The objects' keys.
    """
    by_hour: dict[int, list[Line]] = {}
    for line in lines:
        received: int = line["_received_at"]
        by_hour.setdefault(received // 3_600_000, []).append(Line(received, json.dumps(line).encode()))
    written = []
    for number, batch in enumerate(by_hour.values()):
        half = len(batch) // 2
        parts = [batch[:half], batch[half:], *([batch[1:]] if number < retried else [])]
        for packed in (archive.pack(part) for part in parts if part):
            s3.put_object(Bucket=bucket, Key=packed.key, Body=packed.body)
            written.append(packed.key)
    return written


def _written(said: datetime, rng: random.Random) -> str:
    text = said.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    kind = rng.random()
    if kind < 0.05:
        return text.replace("T", " ").lower()
    if kind < 0.1:
        return said.astimezone(timezone(timedelta(hours=2))).isoformat(timespec="milliseconds")
    return text
