"""What a batch tells: one summary line, a line for each refusal and problem, and the metrics."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from telemetry_handler.batch import Outcome

if TYPE_CHECKING:
    from aws_lambda_powertools import Logger, Metrics

# Logs are paid by the byte: a station gone mad must not cost more than its messages.
_MOST_LINES = 20


def reporter(logger: "Logger", metrics: "Metrics") -> Callable[[Outcome], None]:
    """Make a function that reports an outcome to ``logger`` and ``metrics``. It shows no payloads."""

    def report(outcome: Outcome) -> None:
        refused = outcome.refused_by_code()
        for refusal in outcome.refusals[:_MOST_LINES]:
            logger.warning(
                "refused",
                extra={
                    "reason": refusal.reason.as_dict(),
                    "source_message_id": refusal.record_id,
                    "topic": refusal.topic,
                    "client_id": refusal.client_id,
                },
            )
        for problem in outcome.problems[:_MOST_LINES]:
            logger.error(
                "not safe yet",
                extra={"doing": problem.doing, "error": problem.error, "affected": problem.records},
            )
        logger.info(
            "batch",
            extra={
                "records": outcome.records,
                "stored": outcome.stored,
                "duplicates": outcome.duplicates,
                "moved": outcome.moved,
                "stale": outcome.stale,
                "points": outcome.points,
                "presence": outcome.presence,
                "ignored": outcome.ignored,
                "refused": refused,
                "failed": len(outcome.failed),
                "archive_keys": outcome.archive_keys[:_MOST_LINES],
                "archive_bytes": outcome.archive_bytes,
                # By these the testbed knows what of a stream is done (testbed/pipeline/stream.py).
                **({"shard": outcome.shard, "through": outcome.through} if outcome.through else {}),
            },
        )
        counts = {
            "Records": outcome.records,
            "Stored": outcome.stored,
            "Duplicates": outcome.duplicates,
            "Stale": outcome.stale,
            "Presence": outcome.presence,
            "Refused": len(outcome.refusals),
            "Failed": len(outcome.failed),
        }
        # A metric is paid by the hour in which it has data: a reason costs only when it occurs.
        counts |= {f"Refused.{code}": count for code, count in refused.items()}
        for name, count in counts.items():
            metrics.add_metric(name=name, unit="Count", value=count)
        metrics.flush_metrics()

    return report
