"""What an operator can set at a station, and the table of what is allowed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

# The same file goes into the API's package: what the API takes and what a station takes cannot differ.
TABLE: dict[str, dict[str, Any]] = msgspec.json.decode(Path(__file__).with_name("settings.json").read_bytes())
_TYPES: dict[str, tuple[type, ...]] = {"number": (int, float), "boolean": (bool,), "string": (str,)}


class Settings(msgspec.Struct, frozen=True):
    """A station's settings; the defaults change nothing in its life.

    No station's grid connection is over the highest power limit, which is therefore none.
    """

    reporting_interval_seconds: float
    max_state_of_charge_percent: float = 100
    charging_power_limit_kw: float = 1200
    maintenance_mode: bool = False
    maintenance_reason: str = ""


def fault(name: str, value: Any) -> str | None:
    """Say what is wrong with a setting's value, or None."""
    allowed = TABLE.get(name)
    if allowed is None:
        return f"there is no such setting; there are {', '.join(TABLE)}"
    kind: str = allowed["type"]
    if type(value) not in _TYPES[kind]:
        return f"must be a {kind}"
    if kind == "number" and not allowed["minimum"] <= value <= allowed["maximum"]:
        return f"must be from {allowed['minimum']} to {allowed['maximum']}"
    if kind == "string" and not allowed["minLength"] <= len(value) <= allowed["maxLength"]:
        return f"must have {allowed['minLength']} to {allowed['maxLength']} characters"
    return None


def apply(known: Settings, desired: Mapping[str, Any]) -> tuple[Settings, dict[str, str]]:
    """Take what is allowed of ``desired``.

    Returns:
        The settings, and why each of the others was refused.
    """
    faults = {name: why for name, value in desired.items() if (why := fault(name, value))}
    taken = {name: value for name, value in desired.items() if name not in faults}
    return msgspec.structs.replace(known, **taken), faults
