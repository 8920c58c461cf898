"""The audit of settings and commands: what is lost, repeated or unseen is found, and what is as it should be is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulator.journal import Journal
from testbed.errors import TestbedError
from testbed.proofs.ledgers import CarriedOut, Changed, Commanded, Followed, OperationsLine, read_operations
from testbed.proofs.operations import GUARANTEES, Held, OperationsReport, Shadow, judge

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
STATION = "station-01"


def text(seconds: float) -> str:
    """Write the moment so many seconds before now."""
    return (NOW - timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def history(version: int, ago: float, outcome: str = "accepted", **settings: Any) -> dict[str, Any]:
    """Make an item of the operations table as the API writes it."""
    return {
        "station_id": STATION,
        "operation": f"settings#{text(ago)}#{version}",
        "at": text(ago),
        "by": "operator",
        "settings": msgspec.json.encode(settings).decode(),
        "outcome": outcome,
        **({"version": version} if outcome == "accepted" else {}),
    }


def command(command_id: str, ago: float = 300, within: float = 30) -> dict[str, Any]:
    return {
        "station_id": STATION,
        "operation": f"command#{command_id}",
        "at": text(ago),
        "by": "operator",
        "command": "identify",
        "answer_by": text(ago - within),
    }


def answer(command_id: str) -> dict[str, Any]:
    return {"station_id": STATION, "operation": f"answer#{command_id}", "outcome": "succeeded"}


class World:
    """Two changes and a command, as they should be in all places; a test takes something out."""

    def __init__(self) -> None:
        self.lines: list[OperationsLine] = [
            Followed(STATION, text(400), 1, {"kw": 1200, "mode": False}, {}),
            Changed(STATION, text(300), 2, {"kw": 50}),
            Followed(STATION, text(299), 2, {"kw": 50, "mode": False}, {}),
            Changed(STATION, text(200), 4, {"mode": True}),
            Followed(STATION, text(199), 4, {"kw": 50, "mode": True}, {}),
            Commanded(STATION, text(300), "c1", "identify"),
            CarriedOut(STATION, text(299), "c1", "identify"),
        ]
        self.items = [
            history(2, 300, kw=50),
            history(0, 250, "conflict", kw=70),
            history(4, 200, mode=True),
            command("c1"),
            answer("c1"),
        ]
        self.shadow = Shadow({"kw": 50, "mode": True}, {"kw": 50, "mode": True})
        self.spoke = 0.0

    def without(self, kind: type, position: int = 0) -> None:
        """Take a line out of the ledgers."""
        self.lines.remove([line for line in self.lines if isinstance(line, kind)][position])

    def report(self) -> OperationsReport:
        spoke = {STATION: NOW - timedelta(seconds=self.spoke)}
        return judge(self.lines, Held(self.items, {STATION: self.shadow}, spoke, NOW))

    def wrong(self) -> dict[str, int]:
        return {guarantee: count for guarantee, count in self.report().wrong.items() if count}


def test_what_is_as_it_should_be_is_clean() -> None:
    report = World().report()
    assert report.clean
    assert report.found == []
    assert (report.changes, report.changes_conflicted, report.commands, report.commands_answered) == (
        2,
        1,
        1,
        1,
    )


def _history_lost(world: World) -> None:
    del world.items[0]


def _history_without_who(world: World) -> None:
    world.items[0]["by"] = ""


def _other_history(world: World) -> None:
    world.items[2]["settings"] = '{"mode": false}'


def _same_version(world: World) -> None:
    world.items.append(history(4, 199, mode=True))


def _overwritten(world: World) -> None:
    world.shadow = Shadow({"kw": 70, "mode": True}, {"kw": 70, "mode": True})


def _gone(world: World) -> None:
    world.shadow = Shadow({"kw": 50}, {"kw": 50, "mode": False})


def _never_heard(world: World) -> None:
    world.shadow = Shadow({"kw": 50, "mode": True}, {"kw": 50, "mode": False})


def _reported_only(world: World) -> None:
    world.without(Followed, 2)


def _command_lost(world: World) -> None:
    world.items[3:] = []


def _carried_out_again(world: World) -> None:
    world.lines.append(CarriedOut(STATION, text(100), "c1", "identify"))


def _answered_only(world: World) -> None:
    world.without(CarriedOut)


def _nobody_asked(world: World) -> None:
    world.lines.append(CarriedOut(STATION, text(100), "c9", "restart"))


@pytest.mark.parametrize(
    ("harm", "guarantees"),
    [
        (_history_lost, {"changes_missing", "settings_lost"}),
        (_history_without_who, {"changes_missing"}),
        (_other_history, {"changes_missing", "settings_lost"}),
        (_same_version, {"changes_of_one_version"}),
        (_overwritten, {"settings_lost", "settings_not_applied"}),
        (_gone, {"settings_lost", "settings_not_reported"}),
        (_never_heard, {"settings_not_reported"}),
        (_reported_only, {"settings_not_applied"}),
        (_command_lost, {"commands_missing", "commands_not_asked_for"}),
        (_carried_out_again, {"commands_repeated"}),
        (_answered_only, {"commands_not_carried_out"}),
        (_nobody_asked, {"commands_not_asked_for"}),
    ],
)
def test_each_harm_is_found(harm: Callable[[World], None], guarantees: set[str]) -> None:
    world = World()
    harm(world)
    assert world.wrong().keys() == guarantees
    assert world.report().found
    assert not world.report().clean


def test_every_guarantee_is_broken_by_one_of_these_harms() -> None:
    [mark] = [each for each in test_each_harm_is_found.pytestmark if each.name == "parametrize"]  # type: ignore[attr-defined]
    assert set().union(*(guarantees for _, guarantees in mark.args[1])) == GUARANTEES.keys()


def test_a_station_that_has_not_spoken_since_owes_no_report() -> None:
    world = World()
    _never_heard(world)
    world.spoke = 150
    assert world.report().clean


def test_what_a_station_refused_with_a_reason_is_not_pending() -> None:
    world = World()
    _never_heard(world)
    world.shadow = msgspec.structs.replace(world.shadow, refused={"mode": "not now"})
    assert world.report().clean


def test_of_a_change_that_nobody_knows_the_fate_of_either_is_good() -> None:
    """The function ended between the shadow and the table: nobody was told that it was accepted."""
    world = World()
    world.items.append(history(0, 180, "unknown", kw=70))
    assert world.report().clean
    assert world.report().changes_unknown == 1
    world.lines.append(Followed(STATION, text(179), 5, {"kw": 70, "mode": True}, {}))
    world.shadow = Shadow({"kw": 70, "mode": True}, {"kw": 70, "mode": True})
    assert world.report().clean
    world.items[-1] = history(0, 500, "unknown", kw=70)
    assert world.wrong() == {"settings_lost": 1}


def test_a_command_without_an_answer_waits_or_has_timed_out() -> None:
    world = World()
    world.items += [command("away"), command("now", ago=5)]
    report = world.report()
    assert report.clean
    assert (report.commands_timed_out, report.commands_waiting) == (1, 1)


def test_a_station_that_keeps_no_journal_is_taken_at_its_word() -> None:
    world = World()
    world.lines = [line for line in world.lines if not isinstance(line, Followed | CarriedOut)]
    assert world.report().clean


def test_a_command_that_the_table_may_have_forgotten_is_not_missed() -> None:
    world = World()
    world.lines += [
        Commanded(STATION, text(90 * 86_400), "old", "identify"),
        CarriedOut(STATION, text(90 * 86_400), "old", "identify"),
    ]
    assert world.report().clean


def test_of_much_that_is_wrong_some_is_told_and_all_counted() -> None:
    world = World()
    world.lines += [Commanded(STATION, text(9), f"c{number}", "identify") for number in range(100, 150)]
    report = world.report()
    assert report.wrong["commands_missing"] == 50
    assert len(report.found) == 10


def test_what_the_simulator_writes_is_what_the_audit_reads(tmp_path: Path) -> None:
    journal = Journal.beside(tmp_path / "run.ndjson")
    journal.follows(STATION, 3, {"kw": 50}, {"colour": "there is no such setting"})
    journal.carries_out(STATION, "c1", "restart")
    first, second = read_operations(tmp_path / "run.operations")
    assert isinstance(first, Followed)
    assert (first.version, first.settings, list(first.refused)) == (3, {"kw": 50}, ["colour"])
    assert isinstance(second, CarriedOut)
    assert (second.command_id, second.command) == ("c1", "restart")


def test_a_line_that_a_kill_cut_off_is_left_and_any_other_is_an_error(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "run.operations")
    journal.carries_out(STATION, "c1", "restart")
    with (tmp_path / "run.operations").open("ab") as file:
        file.write(b'{"did": "carries')
    assert len(list(read_operations(tmp_path / "run.operations"))) == 1
    with (tmp_path / "run.operations").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(TestbedError, match=r"operations:2 is no ledger line"):
        list(read_operations(tmp_path / "run.operations"))


def test_stations_are_judged_each_by_its_own() -> None:
    world = World()
    other = [msgspec.structs.replace(line, station_id="station-02") for line in world.lines]
    held = Held(world.items, {STATION: world.shadow}, {}, NOW)
    assert judge(other, replace(held, items=[])).wrong["changes_missing"] == 2
