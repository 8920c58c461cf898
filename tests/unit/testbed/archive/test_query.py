"""Saved queries: one text for every engine, over the columns that Terraform gives Athena."""

from datetime import date

import duckdb
import hcl2
import pytest
import sqlglot
from hcl2 import SerializationOptions

from testbed.archive import saved
from testbed.archive.columns import COLUMNS, duckdb_types
from testbed.archive.saved import BATCHES, HOURS, Days, compose
from testbed.paths import TERRAFORM

DAYS = Days(date(2026, 1, 1), date(2026, 1, 2))


def test_glue_has_the_same_columns() -> None:
    options = SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
    with (TERRAFORM / "analytics.tf").open() as text:
        [locals_block] = hcl2.load(text, serialization_options=options)["locals"]
    assert tuple(locals_block["archive_columns"].items()) == COLUMNS


@pytest.mark.parametrize("name", saved.names())
def test_a_query_says_what_it_is_for_and_runs_on_an_empty_archive(name: str) -> None:
    query = saved.load(name)
    assert query.about.endswith(".")
    columns = ", ".join(f'"{column}" {kind}' for column, kind in duckdb_types(partitions=True).items())
    with duckdb.connect() as db:
        for table in (BATCHES, HOURS):
            db.execute(f"CREATE TABLE {table} ({columns})")
        assert db.execute(compose(query, DAYS, "duckdb")).fetchall() == []


@pytest.mark.parametrize("name", saved.names())
def test_a_query_for_athena_reads_only_the_days_it_was_asked_for(name: str) -> None:
    """Athena bills by what it reads: both tables are cut by the partition's column."""
    statement = sqlglot.parse_one(compose(saved.load(name), DAYS, "athena"), read="athena")
    reads = [
        select
        for select in statement.find_all(sqlglot.exp.Select)
        if (source := select.args.get("from_")) and source.this.name in (BATCHES, HOURS)
    ]
    assert {select.args["from_"].this.name for select in reads} == {BATCHES, HOURS}
    for select in reads:
        assert select.args["where"].sql() == "WHERE dt BETWEEN '2026-01-01' AND '2026-01-02'"
