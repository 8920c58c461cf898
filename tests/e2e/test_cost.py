"""What the deployed handler calls is what `make cost` prices."""

import pytest

from testbed import cost, cost_count
from testbed.deployment import Deployment


def test_the_handler_calls_what_is_priced(deployment: Deployment) -> None:
    """A minute of one poller's work, and the seed's work, counted on the wire: calls to the last one."""
    if deployment.target == "aws":
        pytest.skip("the counting proxy is for local deployments")
    if deployment.engine == "compose":
        pytest.skip("the counting proxy is on this machine's loopback, which a container does not reach")
    workload, kept, kept_seeds = cost.counted()
    ours, seeds = cost_count.count(deployment, workload)
    assert ours.calls == kept.calls
    assert seeds.calls == kept_seeds.calls
    # Gzip and its library decide the last bytes.
    assert ours.archived_bytes == pytest.approx(kept.archived_bytes, rel=0.1)
