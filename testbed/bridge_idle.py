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
    url = f"http://127.0.0.1:{deployment.ports.metrics}/metrics"
    asked = time.time()

    def idle() -> bool:
        with urllib.request.urlopen(url, timeout=5) as page:
            families = {
                family.name: family for family in text_string_to_metric_families(page.read().decode())
            }
        in_flight, caught_up = (
            families[name].samples[0].value
            for name in ("bridge_in_flight", "bridge_caught_up_timestamp_seconds")
        )
        return in_flight == 0 and caught_up > asked

    processes.wait_until(idle, what="The bridge", seconds=seconds)
