"""Hold a record against another, and the gaps against those that are known and explained."""

import fnmatch
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KNOWN = Path(__file__).with_name("gaps.json")
_MISSING = "(nothing)"


@dataclass(frozen=True)
class Gap:
    """A place where two records differ; ``reason`` is empty where nobody has explained it yet."""

    place: str
    recorded: str
    seen: str
    reason: str


def gaps(recorded: Any, seen: Any, between: str) -> list[Gap]:
    """Return all differences.

    Args:
        recorded: the record.
        seen: what the other target gave.
        between: "<recorded target> <seen target>", under which gaps.json knows gaps.
    """
    known: dict[str, str] = json.loads(_KNOWN.read_text()).get(between, {})
    return [
        Gap(
            place,
            old,
            new,
            next((why for pattern, why in known.items() if fnmatch.fnmatchcase(place, pattern)), ""),
        )
        for place, old, new in _differences(recorded, seen, "")
    ]


def _differences(old: Any, new: Any, place: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in [*old, *(name for name in new if name not in old)]:
            yield from _differences(
                old.get(name, _MISSING), new.get(name, _MISSING), f"{place} > {name}" if place else name
            )
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, after, f"{place} > {index}")
    elif old != new:
        yield place, _shown(old), _shown(new)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def table(found: list[Gap], recorded_on: str, seen_on: str) -> str:
    """Return the gaps as a Markdown table."""
    lines = [f"| where | {recorded_on} | {seen_on} | why |", "|---|---|---|---|"]
    lines += [
        "| "
        + " | ".join(_cell(text) for text in (gap.place, gap.recorded, gap.seen, gap.reason or "?"))
        + " |"
        for gap in found
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
