"""A scenario's day in minutes: its moments are where the stations' time is."""

from datetime import UTC, datetime

import pytest

from simulator.connection import Endpoint
from simulator.messages import Telemetry
from simulator.options import FleetOptions
from simulator.scenario import load
from testbed.errors import TestbedError
from testbed.stations.played import PlayedDay


def test_a_moment_is_where_the_stations_day_is() -> None:
    """At 360 times our speed a second is six minutes: the outage of 17:00 comes 110 s after 06:00."""
    told = PlayedDay("grid-outage", 360).notes(begun=1000.0)
    assert {note["says"]: note["at"] for note in told["notes"]} == {
        "12:00": 1060.0,
        "17:00 The grid fails at 30% of the stations": 1110.0,
        "18:00": 1120.0,
        "19:00 The grid is back": 1130.0,
        "00:00": 1180.0,
    }
    assert PlayedDay("grid-outage", 360).seconds == 240


def test_a_played_day_is_said_at_the_real_time_and_has_its_outage() -> None:
    """Timestamps of the future would be refused, those of the past move no station: so they are of now."""
    options = FleetOptions(
        400,
        Endpoint("localhost", 8883, None, None),
        interval=1,
        speed=3600,
        from_hour=16.5,
        scenario=load("grid-outage"),
    )
    outages = 0
    for number in range(40):
        messages = Telemetry(options, f"station-{number:03}", "run", datetime.now(UTC))
        message = messages.next()
        assert abs((datetime.fromisoformat(message.timestamp) - datetime.now(UTC)).total_seconds()) < 60
        outages += b"GRID_OUTAGE" in message.payload
    assert 0 < outages < 40


def test_a_scenario_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(TestbedError, match="There is no scenario eclipse"):
        PlayedDay("eclipse", 360)
