"""A device of a project's own follows its shadow; documents are those of "Device Shadow service documents"."""

import json
from typing import Any

from simulator.model_shadow import ModelShadow

PREFIX = "$aws/things/truck-1/shadow"


class Truck:
    """It takes a set point from -30 to 12."""

    def __init__(self) -> None:
        self.set_point = -18

    def follow(self, desired: dict[str, Any]) -> dict[str, Any]:
        wanted = desired.get("set_point", self.set_point)
        if -30 <= wanted <= 12:
            self.set_point = wanted
        return {"set_point": self.set_point}


def heard(shadow: ModelShadow, name: str, **document: Any) -> Any:
    report = shadow.hear(f"{PREFIX}/{name}", json.dumps(document).encode())
    return report and json.loads(report)["state"]["reported"]


def test_a_device_without_a_shadow_reports_what_it_is_set_to() -> None:
    shadow = ModelShadow("truck-1", Truck().follow)
    assert shadow.ask() == f"{PREFIX}/get"
    assert heard(shadow, "get/rejected", code=404) == {"set_point": -18}


def test_what_was_desired_while_it_was_away_is_followed_and_reported() -> None:
    shadow = ModelShadow("truck-1", Truck().follow)
    state = {"desired": {"set_point": 4}, "reported": {"set_point": -18}}
    assert heard(shadow, "get/accepted", version=7, state=state) == {"set_point": 4}


def test_a_difference_is_followed_once_and_an_older_one_not_at_all() -> None:
    shadow = ModelShadow("truck-1", Truck().follow)
    assert heard(shadow, "update/delta", version=3, state={"set_point": 4}) == {"set_point": 4}
    assert heard(shadow, "update/delta", version=3, state={"set_point": 5}) is None
    assert heard(shadow, "update/delta", version=2, state={"set_point": 6}) is None


def test_a_refused_set_point_is_reported_once() -> None:
    """It stays in the delta, and each report would call forth the next."""
    shadow = ModelShadow("truck-1", Truck().follow)
    assert heard(shadow, "update/delta", version=1, state={"set_point": 99}) == {"set_point": -18}
    assert heard(shadow, "update/delta", version=2, state={"set_point": 99}) is None


def test_what_is_no_document_is_let_by() -> None:
    assert ModelShadow("truck-1", Truck().follow).hear(f"{PREFIX}/update/delta", b"\xff") is None
