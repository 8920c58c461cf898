"""Why a message is refused: a code for programs, a sentence for people."""

from typing import Literal

Code = Literal[
    "not_json",
    "not_object",
    "missing_field",
    "wrong_type",
    "out_of_range",
    "not_finite",
    "bad_timestamp",
    "timestamp_in_future",
    "too_large",
    "station_mismatch",
    "bad_station_id",
    "bad_envelope",
]


class Refused(Exception):  # noqa: N818 - it is an answer, not a malfunction
    """A message that no retry will make good.

    ``detail`` never quotes the payload: it goes to the logs too. ``field`` is one of the contract, or None.
    """

    def __init__(self, code: Code, detail: str, field: str | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code: Code = code
        self.detail = detail
        self.field = field

    def as_dict(self) -> dict[str, str]:
        """Build the ``reason`` of a dead letter: ``{"code", "detail", "field"?}``."""
        reason: dict[str, str] = {"code": self.code, "detail": self.detail}
        if self.field is not None:
            reason["field"] = self.field
        return reason
