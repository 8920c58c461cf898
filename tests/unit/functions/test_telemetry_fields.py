"""A field of telemetry is in every place that lists the fields. CONTRIBUTING.md walks through adding one."""

import json
from datetime import UTC, datetime

import pytest

from simulator.model import Station
from telemetry_handler.telemetry import _FIELDS as FIELDS
from telemetry_handler.telemetry import _NUMBERS, _TEXTS, OPTIONAL_FIELDS
from testbed.archive.columns import COLUMNS
from testbed.paths import REPOSITORY
from tests.unit.functions.samples import telemetry

SCHEMAS = json.loads((REPOSITORY / "functions" / "api_handler" / "openapi.json").read_text())["components"][
    "schemas"
]


def bounds() -> dict[str, dict[str, object]]:
    """Write the handler's table as the API's description has it, without the sentences."""
    numbers = {
        name: {"type": "number" if fraction else "integer", "minimum": least, "maximum": greatest}
        for name, fraction, least, greatest in _NUMBERS
    }
    return numbers | {
        name: {"type": "string", "minLength": 1, "maxLength": longest} for name, longest in _TEXTS
    }


@pytest.mark.parametrize("schema", ["Station", "Point"])
def test_the_api_describes_each_field_with_the_handlers_bounds(schema: str) -> None:
    described = {
        name: {key: value for key, value in text.items() if key != "description"}
        for name, text in SCHEMAS[schema]["properties"].items()
        if name in bounds()
    }
    assert described == bounds()


def test_the_archive_has_a_column_for_each_field() -> None:
    assert {name for name, _ in COLUMNS if not name.startswith("_")} == FIELDS


def test_a_simulated_station_reports_each_optional_field() -> None:
    assert set(OPTIONAL_FIELDS) <= set(Station("station-01", 1, datetime.now(UTC)).telemetry())


def test_the_tests_sample_has_each_field() -> None:
    assert set(telemetry()) == FIELDS
