"""Read ledgers: what the broker acknowledged, a line a message, and what became of settings and commands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError


class LedgerLine(msgspec.Struct):
    """One acknowledged message, as the simulator writes it."""

    message_id: str
    station_id: str
    sequence: int
    timestamp: str


class Changed(msgspec.Struct, tag_field="did", tag="changes"):
    """A change of settings that the API accepted from an operator (202), and the version that it answered."""

    station_id: str
    at: str
    version: int
    settings: dict[str, Any]


class Commanded(msgspec.Struct, tag_field="did", tag="commands"):
    """A command that the API accepted from an operator (202)."""

    station_id: str
    at: str
    command_id: str
    command: str


class Followed(msgspec.Struct, tag_field="did", tag="follows"):
    """What a station does as of a version of its shadow, as the simulator's journal has it."""

    station_id: str
    at: str
    version: int
    settings: dict[str, Any]
    refused: dict[str, str]


class CarriedOut(msgspec.Struct, tag_field="did", tag="carries out"):
    """A command that a station carried out, as the simulator's journal has it."""

    station_id: str
    at: str
    command_id: str
    command: str


OperationsLine = Changed | Commanded | Followed | CarriedOut

# Beside a run's ledger, under its name: what stations did of settings and commands (simulator/journal.py).
OPERATIONS_SUFFIX = ".operations"
_Line = TypeVar("_Line")


def read_ledger(path: Path) -> Iterator[LedgerLine]:
    """Yield the lines of a ledger of messages.

    Raises:
        TestbedError: a line that is no ledger line; the last one excepted, which a kill may have cut.
    """
    return _read(path, msgspec.json.Decoder(LedgerLine))


def read_operations(path: Path) -> Iterator[OperationsLine]:
    """Yield the lines of a journal of stations, or of an operator's ledger.

    Raises:
        TestbedError: as `read_ledger`.
    """
    return _read(path, msgspec.json.Decoder(OperationsLine))


def _read(path: Path, decoder: msgspec.json.Decoder[_Line]) -> Iterator[_Line]:
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
    """All ledgers of a deployment's messages."""
    return sorted((deployment.path / "ledgers").glob("*.ndjson"))


def operations_of(deployment: Deployment) -> list[Path]:
    """All journals of a deployment's stations, and its operators' ledgers."""
    return sorted((deployment.path / "ledgers").glob(f"*{OPERATIONS_SUFFIX}"))
