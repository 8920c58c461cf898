"""A device of the user's own: what `scripts/testbed device add` prints connects as it is."""

import subprocess
import sys

from testbed.deploy.deployment import Deployment
from testbed.stations import snippet
from tests.e2e.conftest import station_in_api, wait_for


def test_the_printed_lines_publish_as_the_device(deployment: Deployment, name: str) -> None:
    """AWS's own Device SDK runs them; the API serves what they said."""
    lines = snippet.add(deployment, name)
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    served = wait_for(lambda: station_in_api(deployment, name))
    assert served
    assert served["battery_available"] == 3
