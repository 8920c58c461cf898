"""When the bridge has passed on all that the broker acknowledged: the queue alone does not show it."""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from testbed.deploy.deployment import Deployment
from testbed.host import processes
from testbed.pipeline.stream import Backlog


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


def until_rule_is_loaded(deployment: Deployment, rule: str, seconds: float) -> None:
    """Wait until the local bridge runs a rule that was just made, and is subscribed to its topics.

    Raises:
        TestbedError: it took longer than ``seconds``.
    """

    def loaded() -> bool:
        return rule in json.loads(_page(deployment, "health"))["rules"]

    processes.wait_until(loaded, what=f"The rule {rule}", seconds=seconds)
    # It subscribes once it has read the rules, and says after that that it has caught up.
    until_bridge_is_idle(deployment, seconds)


def in_flight(deployment: Deployment) -> int:
    """Messages that the bridge has and no queue has taken yet; 0 on AWS."""
    return int(_gauges(deployment, "bridge_in_flight")[0]) if deployment.ports else 0


def _gauges(deployment: Deployment, *names: str) -> list[float]:
    families = {each.name: each for each in text_string_to_metric_families(_page(deployment, "metrics"))}
    return [families[name].samples[0].value for name in names]


def _page(deployment: Deployment, name: str) -> str:
    """Read a page of the local bridge."""
    url = f"http://127.0.0.1:{deployment.place.ports.metrics}/{name}"
    with urllib.request.urlopen(url, timeout=5) as page:
        return str(page.read().decode())


def wait_for_empty_queue(
    sqs: Any, queue_url: str, seconds: float, say: Callable[[int], None] = lambda _: None
) -> int:
    """Wait until nothing waits or is in work; returns how many still do when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        waiting = queue_depth(sqs, queue_url)
        say(waiting)
        if waiting == 0 or time.monotonic() > deadline:
            return waiting
        time.sleep(0.2)


def wait_until_handled(
    deployment: Deployment, seconds: float, say: Callable[[int], None] = lambda _: None
) -> int:
    """Wait until nothing waits before the handler or is in its work, in the queue and in the stream.

    Returns:
        How many messages still do when the time is over.
    """
    sqs, queue, backlog = (
        deployment.client("sqs"),
        deployment.outputs.telemetry_queue_url,
        Backlog(deployment),
    )
    deadline = time.monotonic() + seconds
    while True:
        waiting = queue_depth(sqs, queue) + backlog.depth()
        say(waiting)
        if waiting == 0 or time.monotonic() > deadline:
            return waiting
        # A shard answers five reads a second, the handler's among them ("Quotas and limits", Kinesis Data Streams).
        time.sleep(1.0 if deployment.outputs.telemetry_stream_name else 0.2)


def before_handler(deployment: Deployment) -> int:
    """Messages that the queue and the stream hold for the handler, and what it works on."""
    queue = queue_depth(deployment.client("sqs"), deployment.outputs.telemetry_queue_url)
    return queue + Backlog(deployment).depth()


def queue_depth(sqs: Any, queue_url: str) -> int:
    """Messages that wait or are in work."""
    states = ("", "NotVisible", "Delayed")
    names = [f"ApproximateNumberOfMessages{state}" for state in states]
    attributes = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
    return sum(int(attributes[name]) for name in names)


# After the last fault, for what waits for its visibility timeout.
QUIET_SECONDS = 300


def wait_until_quiet(deployment: Deployment) -> None:
    """Wait until neither the bridge nor the queue, or the stream, holds a message."""
    until_bridge_is_idle(deployment, QUIET_SECONDS)
    wait_until_handled(deployment, QUIET_SECONDS)
