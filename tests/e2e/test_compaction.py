"""`scripts/testbed compact` on a deployment: queries and audit say the same before and after."""

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from testbed.archive import query, reader, saved
from testbed.archive.compaction import compact
from testbed.archive.saved import Days
from testbed.deploy.deployment import Deployment
from testbed.proofs.audit import audit
from testbed.stations import simulation
from tests import archives

# Nothing else in the archive was received then.
FIRST = date(2026, 4, 7)
DAYS = Days(FIRST, FIRST + timedelta(days=1))


@pytest.fixture
def planted(deployment: Deployment) -> Iterator[None]:
    """Take what was received on those days out of the archive again, for no table knows their stations."""
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name

    def clean() -> None:
        for key in list(reader.everything(s3, bucket)):
            if any(f"dt={day}" in key for day in (DAYS.first, DAYS.last)):
                s3.delete_object(Bucket=bucket, Key=key)

    clean()
    yield
    clean()


@pytest.fixture
def ledger(deployment: Deployment, tmp_path: Path) -> Path:
    """Provide the ledger of a fleet that ran and was audited clean."""
    ledger = tmp_path / "ledger.ndjson"
    extra = ["--prefix", "compact-", "--messages", "4", "--ledger", str(ledger)]
    assert simulation.run(deployment, 3, 0.5, extra, print) == 0
    assert audit(deployment, [ledger]).clean
    return ledger


@pytest.mark.usefixtures("planted")
def test_queries_say_the_same_after_compaction(deployment: Deployment) -> None:
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    archives.store(s3, bucket, archives.messages(FIRST, hours=3))
    # On AWS Athena takes Trino's SQL, which no engine here does.
    athena = deployment.target == "local" and deployment.outputs.analytics_database
    ways: list[query.Through] = ["duckdb", "athena"] if athena else ["duckdb"]
    before = {name: query.run(deployment, saved.load(name), DAYS, "duckdb") for name in saved.names()}
    assert any(result.rows for result in before.values())

    hours = compact(s3, bucket, datetime.now(UTC) + timedelta(hours=1), settle=timedelta(0))
    assert len(hours) >= 3
    assert all(hour.removed for hour in hours)
    assert not list(reader.objects(s3, bucket))

    for name, through in itertools.product(saved.names(), ways):
        assert query.run(deployment, saved.load(name), DAYS, through) == before[name], (name, through)


def test_the_audit_reads_compacted_hours(deployment: Deployment, ledger: Path) -> None:
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    compact(s3, bucket, datetime.now(UTC) + timedelta(hours=1), settle=timedelta(0))
    assert not list(reader.objects(s3, bucket))
    report = audit(deployment, [ledger])
    assert report.clean
    assert report.acknowledged_archived == report.acknowledged == 12
