"""What a query gives."""

from dataclasses import dataclass

Value = str | int | float | None


@dataclass(frozen=True)
class Rows:
    """Column names and rows; a value is text, a whole number, a fraction or None, whichever engine gave it."""

    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
