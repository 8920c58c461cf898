"""The one exception of the rule SQL engine."""

from __future__ import annotations


class RuleSqlError(ValueError):
    """A rule that cannot be loaded, or a message that it cannot be evaluated on.

    `position` is the 0-based offset into the SQL text, or None where no place in the text is to blame.
    The message is one line and ends with the place.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        self.position = position
        place = "" if position is None else f" (at character {position + 1})"
        super().__init__(f"{message}{place}")
