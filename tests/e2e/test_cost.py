"""What the deployed handler calls is what `make cost` prices."""

import pytest

from bench import calls
from testbed.cost import bill
from testbed.deploy.deployment import Deployment


def test_the_handler_calls_what_is_priced(deployment: Deployment) -> None:
    """A minute of one poller's work, and the baseline's work, counted on the wire: calls to the last one."""
    if not deployment.engine:
        pytest.skip("the counting proxy is on this machine")
    workload, kept = bill.counted()
    found = calls.count(deployment, workload)
    assert found.ours.calls == kept.ours.calls
    assert found.baseline.calls == kept.baseline.calls
    # Gzip and its library decide the last bytes.
    assert found.ours.archived_bytes == pytest.approx(kept.ours.archived_bytes, rel=0.1)
    # How full the bridge's batches are is a matter of the machine; that every message went is not.
    assert 20 <= found.bridge.calls["sqs:SendMessageBatch"] <= 202
    assert found.bridge.bytes_sent["sqs:SendMessageBatch"] > 200 * 400
    assert found.bridge.bytes_received["sqs:SendMessageBatch"] > 0
