"""How a function of AWS IoT SQL is described."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.sql.values import Value


class Computed:
    """Stands for an argument whose value is known only when a message is there."""


COMPUTED = Computed()


@dataclass(frozen=True, slots=True)
class Function:
    """A function: what it does, how many arguments it takes (`most` None: any number), since which SQL
    version.

    `on_message` functions get the Scope before their arguments. `check` sees the literal arguments (COMPUTED
    for the others) when the rule is loaded, and returns what is wrong with them.
    """

    call: Callable[..., Value]
    least: int
    most: int | None
    since_2016: bool = False
    on_message: bool = False
    check: Callable[[Sequence[Value]], str | None] | None = None
