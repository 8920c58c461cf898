"""`make compact` on a deployment: queries and audit say the same before and after."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from testbed import archive, simulation
from testbed import audit as auditing
from testbed.analytics import query as asking
from testbed.analytics import saved
from testbed.analytics.compaction import compact
from testbed.analytics.saved import Days
from testbed.deployment import Deployment
from tests import archives

FIRST = date(2026, 4, 7)
DAYS = Days(FIRST, FIRST + timedelta(days=1))


def test_queries_and_audit_say_the_same_after_compaction(deployment: Deployment, tmp_path: Path) -> None:
    s3, bucket = deployment.client("s3"), deployment.outputs["telemetry_bucket_name"]
    archives.store(s3, bucket, archives.messages(FIRST, hours=3))
    ledger = tmp_path / "ledger.ndjson"
    assert (
        simulation.run(
            deployment, 3, 0.5, ["--prefix", "compact-", "--messages", "4", "--ledger", str(ledger)], print
        )
        == 0
    )
    assert auditing.audit(deployment, [ledger]).clean

    ways: list[asking.Through] = (
        ["duckdb", "athena"] if deployment.outputs["analytics_database"] else ["duckdb"]
    )
    before = {name: asking.run(deployment, saved.load(name), DAYS, "duckdb") for name in saved.names()}
    hours = compact(s3, bucket, datetime.now(UTC) + timedelta(hours=1), settle=timedelta(0))
    assert all(hour.removed for hour in hours)
    assert not list(archive.objects(s3, bucket))

    for name, through in ((name, through) for name in saved.names() for through in ways):
        assert asking.run(deployment, saved.load(name), DAYS, through) == before[name], (name, through)
    report = auditing.audit(deployment, [ledger])
    assert report.clean
    assert report.acknowledged_archived == report.acknowledged == 12
