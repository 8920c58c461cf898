"""Queries by DuckDB, over the archive's own objects."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb

from testbed.archive import reader
from testbed.archive.columns import duckdb_types
from testbed.archive.results import Rows
from testbed.archive.saved import BATCHES, HOURS, Days


def run(s3: Any, bucket: str, sql: str, days: Days) -> Rows:
    """Run ``sql``, in DuckDB's dialect, over the objects of ``days``."""
    with tempfile.TemporaryDirectory() as name, reader.database() as db:
        folder = Path(name)
        # Batches first, for the reason that `archive.everything` gives.
        batches = reader.download(s3, bucket, _keys(s3, bucket, reader.PREFIX, days), folder)
        hours = reader.download(s3, bucket, _keys(s3, bucket, reader.COMPACTED, days), folder)
        _view(
            db, BATCHES, "read_json", batches, f", format = 'newline_delimited', columns = {duckdb_types()}"
        )
        _view(db, HOURS, "read_parquet", hours, "")
        cursor = db.execute(sql)
        columns = tuple(column[0] for column in cursor.description or ())
        return Rows(columns, cursor.fetchall())


def _keys(s3: Any, bucket: str, prefix: str, days: Days) -> list[str]:
    count = (days.last - days.first).days + 1
    names = [(days.first + timedelta(days=n)).isoformat() for n in range(count)]
    return [key for day in names for key in reader.objects(s3, bucket, f"{prefix}dt={day}/")]


def _view(db: duckdb.DuckDBPyConnection, name: str, function: str, paths: list[Path], options: str) -> None:
    types = duckdb_types(partitions=True)
    if not paths:
        columns = ", ".join(f'"{column}" {kind}' for column, kind in types.items())
        db.execute(f"CREATE TABLE {name} ({columns})")
        return
    files = [str(path) for path in paths]
    hive = "hive_partitioning = true, hive_types = {'dt': VARCHAR, 'hour': VARCHAR}"
    # A relation, as a view takes no parameters, and file names do not belong into SQL.
    db.execute(f"CREATE TABLE {name} AS SELECT * FROM {function}(?, {hive}{options})", [files])  # noqa: S608
