"""Ledgers: what the broker acknowledged, a line a message, as the simulator writes them."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError


class LedgerLine(msgspec.Struct):
    """One acknowledged message, as the simulator writes it."""

    message_id: str
    station_id: str
    sequence: int
    timestamp: str


def read_ledger(path: Path) -> Iterator[LedgerLine]:
    """Yield the lines of a ledger.

    Raises:
        TestbedError: a line that is no ledger line; the last one excepted, which a kill may have cut.
    """
    decoder = msgspec.json.Decoder(LedgerLine)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield decoder.decode(line)
            except msgspec.MsgspecError as error:
                if not line.endswith(b"\n"):
                    return
                raise TestbedError(
                    f"{path}:{number} is no ledger line: {error}.", "Name a simulator's ledger."
                ) from error


def ledgers_of(deployment: Deployment) -> list[Path]:
    """All ledgers of a deployment."""
    return sorted((deployment.path / "ledgers").glob("*.ndjson"))
