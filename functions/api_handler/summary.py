"""How the pipeline is: what waits, what was given up and why, and the deployment's alarms."""

import collections
import json
import os
import time
from collections.abc import Callable
from datetime import UTC
from typing import Any, Self

from api_handler.calls import ONCE_AND_SOON

# An alarm is worked out once a minute, and a call of CloudWatch's costs as much as three of the API's.
ALARMS_SECONDS = 30
# Of so many letters the reasons are looked at: ten a call, until a call brings none that was not seen.
REASONS_SECONDS = 30
_MOST_LOOKS = 5

_COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


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
        self._reasons: dict[str, int] = {}
        self._reasons_good_until = -1.0

    @classmethod
    def from_environment(cls, session: Any) -> Self:
        """Read the variables that Terraform sets. ``session`` is botocore's."""
        return cls(
            os.environ["TELEMETRY_QUEUE_URL"],
            os.environ["DEAD_LETTER_QUEUE_URL"],
            os.environ["ALARM_PREFIX"],
            lambda service: session.create_client(service, config=ONCE_AND_SOON),
        )

    def take(self) -> dict[str, Any]:
        """Return ``{"queue", "dead_letters", "dead_letters_by_reason", "alarms"}``.

        Messages that wait or are in work, how many of some that were given up have which reason, and alarms by name.
        """
        counted = {name: self._depth(url) for name, url in self._queues.items()}
        if self._clock() >= self._good_until:
            self._alarms = self._read_alarms()
            self._good_until = self._clock() + ALARMS_SECONDS
        if not counted["dead_letters"]:
            self._reasons, self._reasons_good_until = {}, -1.0
        elif self._clock() >= self._reasons_good_until:
            self._reasons = self._read_reasons()
            self._reasons_good_until = self._clock() + REASONS_SECONDS
        return {**counted, "dead_letters_by_reason": self._reasons, "alarms": self._alarms}

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._make(service)
        return self._clients[service]

    def _depth(self, url: str) -> int:
        answer = self._client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))
        return sum(int(answer["Attributes"][name]) for name in _COUNTS)

    def _read_reasons(self) -> dict[str, int]:
        """Look at letters without hiding them from others for a moment, and count their reasons."""
        found: dict[str, str] = {}
        for _ in range(_MOST_LOOKS):
            messages = (
                self._client("sqs")
                .receive_message(
                    QueueUrl=self._queues["dead_letters"],
                    MaxNumberOfMessages=10,
                    VisibilityTimeout=0,
                    WaitTimeSeconds=0,
                    MessageAttributeNames=["reason"],
                )
                .get("Messages", [])
            )
            before = len(found)
            found |= {message["MessageId"]: reason(message) for message in messages}
            if len(found) == before:
                break
        return dict(collections.Counter(found.values()).most_common())

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


def reason(message: dict[str, Any]) -> str:
    """Return why a message of SQS's is in the dead-letter queue; as testbed/pipeline/dead_letters.py does."""
    if said := message.get("MessageAttributes", {}).get("reason"):
        return str(said["StringValue"])
    try:
        document = json.loads(message["Body"])
    except ValueError:
        document = None
    if not isinstance(document, dict):
        document = {}
    if "ruleName" in document and "failures" in document:
        return "rule_action_failed"
    if isinstance(document.get("reason"), dict):
        return str(document["reason"].get("code"))
    return (
        "stream_batch_failed"
        if isinstance(document.get("KinesisBatchInfo"), dict)
        else "max_receives_exceeded"
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
