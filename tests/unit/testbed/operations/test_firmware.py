"""What a roll-out asks of AWS IoT Jobs, and how it is shown."""

import pytest

from bridge.data_plane import jobs_configurations
from testbed.cli.fleet import bar, line
from testbed.errors import TestbedError
from testbed.operations.firmware import STATUSES, Pace, Progress, check_version


@pytest.mark.parametrize("growth", [1, 2, 5])
@pytest.mark.parametrize("stations", [1, 10_000])
def test_what_a_pace_asks_for_is_within_the_limits_of_aws(growth: float, stations: int) -> None:
    asked = Pace(50, growth, abort_after=5).configurations(stations)
    jobs_configurations.check(asked)
    [criterion] = asked["abortConfig"]["criteriaList"]
    assert criterion["minNumberOfExecutedThings"] == min(5, stations)
    assert ("exponentialRate" in asked["jobExecutionsRolloutConfig"]) == (growth > 1)


def progress(**counts: int) -> Progress:
    known = dict.fromkeys(STATUSES, 0) | counts
    return Progress("job", "Firmware", "3.1.0", 10, "IN_PROGRESS", False, known)


def test_a_line_and_a_bar_have_each_station_once() -> None:
    now = progress(Succeeded=5, Failed=1, InProgress=2)
    assert line(now) == "Firmware 3.1.0: 5 succeeded, 1 failed, 2 in progress, 2 waiting of 10"
    parts = [(part.end - part.start, part.style) for part in bar(now, 20).spans if part.end > part.start]
    assert parts == [(10, "green"), (2, "red"), (4, "yellow"), (4, "dim")]
    assert (now.waiting, now.done, now.failed, now.over) == (2, 6, 1, False)


@pytest.mark.parametrize("version", ["", "3 1", "x" * 33, "3.1.0\n"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(TestbedError, match="no version"):
        check_version(version)
