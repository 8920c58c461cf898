"""Which stations are meant: those of the API whose names and states fit."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.pipeline import api

# Where none fits.
NOBODY = ("No station is meant.", "Run some: make simulate; or choose others: --stations, --where")


def chosen(deployment: Deployment, pattern: str, where: Iterable[str]) -> Iterator[str]:
    """Yield the names of stations that have sent telemetry, page by page of the API.

    Args:
        deployment: whose.
        pattern: for the name, with ``*`` and ``?``.
        where: fields that a station must have, such as ``firmware=2.4.1``, as the API shows them.

    Raises:
        TestbedError: one of ``where`` is no field and value.
    """
    wanted = dict(map(_field, where))
    for station in api.stations(deployment):
        name = str(station["station_id"])
        if fnmatchcase(name, pattern) and all(
            _text(station.get(field)) == value for field, value in wanted.items()
        ):
            yield name


def _field(condition: str) -> tuple[str, str]:
    field, equals, value = condition.partition("=")
    if not (field and equals):
        raise TestbedError(f"{condition!r} is no field and value.", "Such as: --where firmware=2.4.1")
    return field, value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
