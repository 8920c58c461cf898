"""How the pipeline is: what waits, what was given up, and the deployment's alarms."""

import os
import time
from collections.abc import Callable
from datetime import UTC
from typing import Any, Self

from botocore.config import Config

# An alarm is worked out once a minute, and a call of CloudWatch's costs as much as three of the API's.
ALARMS_SECONDS = 30

_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
# Three calls, one after the other, within the function's 10 seconds; who asked asks again soon.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 1},
    tcp_keepalive=True,
)


class Summary:
    """Queues and alarms. ``client`` makes a client of a service: none is made before the first question."""

    def __init__(
        self,
        queue_url: str,
        dead_letter_queue_url: str,
        alarm_prefix: str,
        client: Callable[[str], Any],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep the clients; the deployment's alarms are those whose names begin with ``alarm_prefix``."""
        self._queues = {"queue": queue_url, "dead_letters": dead_letter_queue_url}
        self._alarm_prefix = alarm_prefix
        self._make, self._clients = client, dict[str, Any]()
        self._clock = clock
        self._alarms: list[dict[str, Any]] = []
        self._good_until = -1.0

    @classmethod
    def from_environment(cls, session: Any) -> Self:
        """Read the variables that Terraform sets. ``session`` is botocore's."""
        return cls(
            os.environ["TELEMETRY_QUEUE_URL"],
            os.environ["DEAD_LETTER_QUEUE_URL"],
            os.environ["ALARM_PREFIX"],
            lambda service: session.create_client(service, config=_CONFIG),
        )

    def take(self) -> dict[str, Any]:
        """Return ``{"queue", "dead_letters", "alarms"}``: messages that wait or are in work, and alarms by name."""
        counted = {name: self._depth(url) for name, url in self._queues.items()}
        if self._clock() >= self._good_until:
            self._alarms = self._read_alarms()
            self._good_until = self._clock() + ALARMS_SECONDS
        return {**counted, "alarms": self._alarms}

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def _depth(self, url: str) -> int:
        answer = self._client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))
        return sum(int(answer["Attributes"][name]) for name in _COUNTS)

    def _read_alarms(self) -> list[dict[str, Any]]:
        pages = (
            self._client("cloudwatch")
            .get_paginator("describe_alarms")
            .paginate(AlarmNamePrefix=self._alarm_prefix, AlarmTypes=["MetricAlarm"])
        )
        return sorted(
            (_shown(alarm) for page in pages for alarm in page["MetricAlarms"]),
            key=lambda alarm: alarm["name"],
        )


def _shown(alarm: dict[str, Any]) -> dict[str, Any]:
    """List the alarms; ``since`` is the state's last change: emulators know only when it was looked at."""
    since = alarm.get("StateTransitionedTimestamp") or alarm.get("StateUpdatedTimestamp")
    return {
        "name": alarm["AlarmName"],
        "description": alarm.get("AlarmDescription", ""),
        "state": alarm["StateValue"],
        "since": None
        if since is None
        else since.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
