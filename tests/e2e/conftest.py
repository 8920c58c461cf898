"""One deployment for all end-to-end tests of a process, on the target and engine that TARGET and ENGINE name.

On a local target it is a deployment of its own (``DEPLOYMENT=e2e``, with the name of pytest-xdist's process where there
are several), brought up here and taken down again; ``E2E_KEEP=1`` leaves it up, for the next run to find. On AWS it
is the one that `make up TARGET=aws` made.
"""

import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from testbed.archive import reader
from testbed.deploy import lifecycle
from testbed.deploy.deployment import Deployment, current
from testbed.deploy.settings import Settings
from testbed.deploy.stations import enrolment_of
from testbed.engines import choice
from testbed.identity.enrolment import Enrolment
from testbed.pipeline import api
from testbed.plugin import TestDevice

# A local suite does not collect what is of AWS alone, nor AWS's the reverse.
collect_ignore = ["test_dashboard.py" if os.environ.get("TARGET") == "aws" else "test_dashboard_aws.py"]

# Generous: a slow machine must not fail a test, and a wait ends as soon as its condition holds.
PATIENCE_SECONDS = 60.0


@pytest.fixture(scope="session")
def deployment() -> Iterator[Deployment]:
    """Provide what the tests run against."""
    if os.environ.get("TARGET") == "aws":
        yield current(Settings.from_environment())
        return
    with pytest.MonkeyPatch.context() as environment:
        process = os.environ.get("PYTEST_XDIST_WORKER")
        name = os.environ.get("DEPLOYMENT") or "e2e"
        environment.setenv("DEPLOYMENT", f"{name}-{process}" if process else name)
        settings = Settings.from_environment()
        engine = choice.engine(choice.choose(settings.engine)[0])
        if "enforced IAM" not in engine.lacks.features and not os.environ.get("ENFORCE_IAM"):
            # Each function under its own role: what a policy lacks must fail here, not on AWS.
            environment.setenv("ENFORCE_IAM", "1")
            settings = Settings.from_environment()
    up = lifecycle.up(settings, print, lambda _: True)
    yield up
    if os.environ.get("E2E_KEEP") != "1":
        lifecycle.down(settings, print, lambda _: True)


@pytest.fixture(scope="session")
def enrolment(deployment: Deployment) -> Enrolment:
    """Provide what enrols stations there."""
    return enrolment_of(deployment)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Make a station id that no other test and no earlier run has."""
    words = re.sub(r"[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    return f"{words[:40].strip('-')}-{uuid.uuid4().hex[:6]}"


@pytest.fixture(scope="session")
def testbed(deployment: Deployment) -> Deployment:
    """Give the deployment to the fixtures of the pytest plugin, which projects have, too."""
    return deployment


Connect = Callable[..., TestDevice]


@pytest.fixture
def connect(device: Connect) -> Connect:
    """Provide `testbed.plugin.device` for stations that a refusal or a lost connection ends for good."""
    return partial(device, comes_back=False, admitted=False)


def wait_for(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until ``condition()`` is true and return what it gave; its last value when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value or time.monotonic() > deadline:
            return value
        time.sleep(0.1)


def now() -> str:
    """Write the current time as stations write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def station_in_api(deployment: Deployment, station: str) -> dict[str, Any] | None:
    """Read the station as the REST API has it."""
    status, document = api.get(deployment, f"/stations/{station}")
    return document if status == 200 else None


def archived(deployment: Deployment, station: str) -> list[dict[str, Any]]:
    """Read every archived message of a station."""
    records = reader.records(deployment.client("s3"), deployment.outputs.telemetry_bucket_name)
    return [record for record in records if record["station_id"] == station]
