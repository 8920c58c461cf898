"""On AWS enrolment keeps to the service's rates."""

import time

import boto3
import pytest

from testbed.identity.rates import RATES, Pace, PacedControlPlane


def test_calls_beyond_the_first_seconds_worth_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten a second: the first ten at once, and then a tenth of a second each."""
    now: list[float] = [1000.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        now[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    pace = Pace(10)
    for _ in range(13):
        pace.wait()
    assert [seconds for seconds in slept if seconds] == [0.1, 0.1, 0.1]


def test_every_operation_of_a_station_has_a_rate() -> None:
    """They are boto3's names of operations that there are."""
    session = boto3.Session("test", "test", region_name="eu-central-1")
    known = set(session.client("iot").meta.service_model.operation_names)
    assert known >= RATES.keys()
    assert set(PacedControlPlane(session, parallel=1)._paces) == RATES.keys()
