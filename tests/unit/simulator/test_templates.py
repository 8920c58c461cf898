"""Devices that say what a template says."""

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from simulator.connection import Endpoint
from simulator.options import FleetError, FleetOptions
from simulator.templates import ModelMessages, load

TEMPLATE = {
    "who": "{device}",
    "n": "{sequence}",
    "at": "{timestamp}",
    "id": "{message_id}",
    "fixed": "as {device} stands",
    "deep": [{"t": {"from": -2, "to": 2, "step": 0.5, "decimals": 3}}],
    "whole": {"from": 1, "to": 3},
    "door": {"one_of": ["open", "closed"]},
}


def said(template: Any, folder: Path, count: int, device: str = "truck-1") -> list[dict[str, Any]]:
    file = folder / "model.json"
    file.write_text(json.dumps(template))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    options = FleetOptions(1, Endpoint("nowhere", 1, None, None, 60), interval=5, start=start)
    messages = ModelMessages(load(str(file))(device, 1), options, device, "run", start)
    return [json.loads(messages.next().payload) for _ in range(count)]


def test_numbers_stay_in_their_range_and_wander_by_their_step(tmp_path: Path) -> None:
    found = said(TEMPLATE, tmp_path, 300)
    walk = [message["deep"][0]["t"] for message in found]
    assert all(-2 <= value <= 2 for value in walk)
    assert all(abs(one - other) <= 0.501 for one, other in itertools.pairwise(walk))
    assert len(set(walk)) > 100
    assert {message["whole"] for message in found} == {1, 2, 3}
    assert {message["door"] for message in found} == {"open", "closed"}


def test_words_are_filled_in_and_all_else_is_as_it_stands(tmp_path: Path) -> None:
    second = said(TEMPLATE, tmp_path, 2)[1]
    assert second["who"] == "truck-1"
    assert second["n"] == 2
    assert second["at"] == "2026-01-01T00:00:10.000Z"
    assert second["id"] == "truck-1-run-2"
    assert second["fixed"] == "as {device} stands"


def test_the_same_seed_says_the_same_and_another_device_something_else(tmp_path: Path) -> None:
    assert said(TEMPLATE, tmp_path, 5) == said(TEMPLATE, tmp_path, 5)
    assert [m["deep"] for m in said(TEMPLATE, tmp_path, 5)] != [
        m["deep"] for m in said(TEMPLATE, tmp_path, 5, "t2")
    ]


@pytest.mark.parametrize(
    ("template", "where"),
    [
        ({"a": {"from": 1}}, "/a"),
        ({"a": {"from": 3, "to": 1}}, "/a"),
        ({"a": {"from": "x", "to": 1}}, "/a"),
        ({"a": [{"from": 1, "to": 2, "steps": 1}]}, "/a/0"),
        ({"one_of": []}, "/"),
    ],
)
def test_a_range_that_is_none_is_refused_with_its_place(template: Any, where: str, tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=f"wrong at {where}:"):
        said(template, tmp_path, 1)


def test_a_model_that_is_not_there_is_told_in_a_line() -> None:
    for name, words in (
        ("nowhere.json", "cannot be read"),
        ("nowhere:Truck", "cannot be imported"),
        ("json", "json"),
    ):
        with pytest.raises(FleetError, match=words):
            load(name)


def test_a_class_of_the_projects_own_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_trucks.py").write_text(
        "class Truck:\n"
        "    def __init__(self, device, seed):\n        self.said = [device, seed, 0.0]\n"
        "    def next(self, seconds):\n        self.said[2] += seconds\n        return {'said': list(self.said)}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    truck = load("my_trucks:Truck")("truck-7", 3)
    assert [truck.next(5), truck.next(5)] == [{"said": ["truck-7", 3, 5.0]}, {"said": ["truck-7", 3, 10.0]}]
