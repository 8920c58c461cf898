"""Lambda's entry: archive_compactor.app.handler. The work itself is `scripts/testbed compact`'s, packed beside it."""

import functools
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.session
from aws_lambda_powertools import Logger
from botocore.config import Config

from testbed.archive import compaction

# A part is merged in seconds; one that has begun must end before Lambda ends it.
_RESERVE_MS = 120_000

logger = Logger()


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    """Compact every hour that ended an hour ago, for as long as there is time.

    Args:
        event: EventBridge's, of which nothing is read; or by hand {"minutes": 60, "settle_minutes": 15}: how long ago
            an hour must have ended, and how old Parquet must be before what it replaces is removed.
        context: Lambda's.

    Returns:
        How many batches were merged, and how many of these removed; how many lines were written, as how many objects.

    Raises:
        RuntimeError: TELEMETRY_BUCKET is not set.
        TestbedError: some hours could not be compacted: Lambda counts an error, and an alarm rings.
    """
    counts = {"batches": 0, "removed": 0, "lines": 0, "written": 0}

    def note(merged: compaction.Merged) -> None:
        counts["batches"] += merged.objects
        counts["removed"] += merged.objects * merged.removed
        counts["lines"] += merged.lines * bool(merged.written)
        counts["written"] += bool(merged.written)

    in_time = True

    def enough() -> bool:
        nonlocal in_time
        in_time = context.get_remaining_time_in_millis() > _RESERVE_MS
        return not in_time

    try:
        compaction.compact(
            _s3(),
            _bucket(),
            datetime.now(UTC) - timedelta(minutes=event.get("minutes", 60)),
            settle=timedelta(minutes=event.get("settle_minutes", 15)),
            enough=enough,
            say=note,
        )
    finally:
        logger.info("compacted" if in_time else "out of time: the next run goes on", extra=counts)
    return counts


@functools.cache
def _s3() -> Any:
    config = Config(read_timeout=30, retries={"mode": "standard", "total_max_attempts": 5})
    return botocore.session.get_session().create_client("s3", config=config)


def _bucket() -> str:
    bucket = os.environ.get("TELEMETRY_BUCKET")
    if not bucket:
        raise RuntimeError(
            "the environment variable TELEMETRY_BUCKET is not set: terraform/compaction.tf does it"
        )
    return bucket
