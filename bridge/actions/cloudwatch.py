"""The ``cloudwatchMetric`` and ``cloudwatchAlarm`` actions: a data point, or a new state of an alarm, a message."""

from collections.abc import Sequence
from datetime import UTC, datetime

from bridge.actions.base import Services, one_by_one
from bridge.actions.parameters import Parameters
from bridge.messages import Failure, Outgoing
from bridge.sql import RuleSqlError


class CloudwatchMetricAction:
    """Puts data points; every parameter is a substitution template."""

    name = "cloudwatchMetric"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read metricNamespace, metricName, metricValue, metricUnit, metricTimestamp (epoch seconds)."""
        names = ("metricNamespace", "metricName", "metricValue", "metricUnit")
        self._templates = {name: parameters.template(name) for name in names}
        self._timestamp = parameters.template("metricTimestamp", "")
        parameters.role()
        self._cloudwatch = services.client("cloudwatch")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._templates["metricName"], self._put)

    def _put(self, outgoing: Outgoing) -> None:
        found = {name: template.render(outgoing.message) for name, template in self._templates.items()}
        at = self._timestamp.render(outgoing.message)
        try:
            value = float(found["metricValue"])
            moment = datetime.fromtimestamp(float(at), UTC) if at else datetime.now(UTC)
        except ValueError as error:
            raise RuleSqlError(
                f"the metric's value {found['metricValue']!r} or time {at!r} is no number"
            ) from error
        datum = {
            "MetricName": found["metricName"],
            "Value": value,
            "Unit": found["metricUnit"],
            "Timestamp": moment,
        }
        self._cloudwatch.put_metric_data(Namespace=found["metricNamespace"], MetricData=[datum])


class CloudwatchAlarmAction:
    """Sets an alarm's state; every parameter is a substitution template."""

    name = "cloudwatchAlarm"
    max_batch = 1

    def __init__(self, parameters: Parameters, services: Services) -> None:
        """Read alarmName, stateReason, stateValue (OK, ALARM, INSUFFICIENT_DATA)."""
        names = ("alarmName", "stateReason", "stateValue")
        self._alarm, self._reason, self._value = (parameters.template(name) for name in names)
        parameters.role()
        self._cloudwatch = services.client("cloudwatch")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._alarm, self._set)

    def _set(self, outgoing: Outgoing) -> None:
        self._cloudwatch.set_alarm_state(
            AlarmName=self._alarm.render(outgoing.message),
            StateReason=self._reason.render(outgoing.message),
            StateValue=self._value.render(outgoing.message),
        )
