"""The ``cloudwatchMetric`` action: a data point a message."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.actions.base import Services, one_by_one
from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule, RuleSqlError


class CloudwatchMetricAction:
    """Puts data points; every parameter is a substitution template."""

    name = "cloudwatchMetric"
    max_batch = 1

    def __init__(self, parameters: dict[str, Any], services: Services, rule: CompiledRule) -> None:
        """``parameters``: metricNamespace, metricName, metricValue, metricUnit, metricTimestamp (epoch seconds)."""
        names = ("metricNamespace", "metricName", "metricValue", "metricUnit")
        self._templates = {name: rule.compile_template(parameters[name]) for name in names}
        self._timestamp = rule.compile_template(parameters.get("metricTimestamp") or "")
        self._cloudwatch = services.client("cloudwatch")

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """See `bridge.actions.base.Action`."""
        return one_by_one(batch, self._templates["metricName"].template, self._put)

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
