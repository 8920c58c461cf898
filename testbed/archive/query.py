"""`scripts/testbed query`: a saved query on what is up."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from testbed.archive import athena, local
from testbed.archive.results import Rows
from testbed.archive.saved import Days, SavedQuery, compose
from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError

Through = Literal["athena", "duckdb"]


def last_days(count: int) -> Days:
    """Return today (UTC) and the days before it, ``count`` in all."""
    today = datetime.now(UTC).date()
    return Days(today - timedelta(days=count - 1), today)


def default(deployment: Deployment) -> Through:
    """Athena where Terraform could make its tables."""
    return "athena" if deployment.outputs.analytics_database else "duckdb"


def run(deployment: Deployment, query: SavedQuery, days: Days, through: Through) -> Rows:
    """Run a saved query.

    Raises:
        TestbedError: there is no Athena here, or the query failed.
    """
    outputs = deployment.outputs
    if through == "duckdb":
        sql = compose(query, days, "duckdb")
        return local.run(deployment.client("s3"), outputs.telemetry_bucket_name, sql, days)
    if not outputs.analytics_database:
        raise TestbedError("There is no Athena here.", "Use DuckDB: ARGS='--through duckdb'")
    return athena.run(
        deployment.client("athena"),
        compose(query, days, "athena" if deployment.target == "aws" else "ministack"),
        database=outputs.analytics_database,
        workgroup=outputs.analytics_workgroup,
    )
