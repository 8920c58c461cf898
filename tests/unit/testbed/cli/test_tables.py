"""The demo's table is whole on a terminal of 80 columns."""

import pytest
from rich.console import Console

from testbed.cli.stations import stations_table

STATION = {
    "station_id": "station-10",
    "battery_available": 21,
    "slots": 21,
    "charging": 10,
    "swaps_total": 12345,
    "queue_length": 12,
    "power_kw": 1250.0,
    "temperature_c": -12.5,
    "status": "CHARGER_FAULT",
    "timestamp": "2026-11-25T02:49:45.522931Z",
}


def drawn(width: int, **changed: str) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(stations_table([STATION | changed], "GET http://127.0.0.1:4566/stations", width))
    return captured.get()


def test_at_80_columns_every_value_is_shown_whole() -> None:
    text = drawn(80)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert "queue" in text
    for value in ("station-10", "21/21", "12345", "1250", "-12.5", "CHARGER_FAULT", "02:49:45"):
        assert value in text


@pytest.mark.parametrize(("width", "left_out"), [(60, "queue"), (40, "kW")])
def test_a_narrower_terminal_has_fewer_columns_and_no_value_is_cut(width: int, left_out: str) -> None:
    text = drawn(width)
    assert left_out not in text
    assert "…" not in text
    assert "station-10" in text
    assert "21/21" in text


def test_a_long_name_takes_the_room_of_the_least_important_columns() -> None:
    text = drawn(80, station_id="a-station-with-quite-a-long-name-0001")
    assert "a-station-with-quite-a-long-name-0001" in text
    assert "…" not in text
