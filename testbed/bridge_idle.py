"""When the bridge has passed on all that the broker acknowledged: the queue alone does not show it."""

import time
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from testbed import processes
from testbed.deployment import Deployment


def until_bridge_is_idle(deployment: Deployment, seconds: float) -> None:
    """Wait for it; on AWS there is no bridge and nothing to wait for.

    Raises:
        TestbedError: it took longer than ``seconds``.
    """
    if deployment.ports is None:
        return
    asked = time.time()

    def idle() -> bool:
        holds, caught_up = _gauges(deployment, "bridge_in_flight", "bridge_caught_up_timestamp_seconds")
        return holds == 0 and caught_up > asked

    processes.wait_until(idle, what="The bridge", seconds=seconds)


def in_flight(deployment: Deployment) -> int:
    """Messages that the bridge has and no queue has taken yet; 0 on AWS."""
    return int(_gauges(deployment, "bridge_in_flight")[0]) if deployment.ports else 0


def _gauges(deployment: Deployment, *names: str) -> list[float]:
    url = f"http://127.0.0.1:{deployment.place.ports.metrics}/metrics"
    with urllib.request.urlopen(url, timeout=5) as page:
        families = {family.name: family for family in text_string_to_metric_families(page.read().decode())}
    return [families[name].samples[0].value for name in names]
