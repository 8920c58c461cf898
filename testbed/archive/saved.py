"""The saved queries: what there is, and each as its engine wants it."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from testbed.archive.columns import duckdb_types, quoted
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY

QUERIES = REPOSITORY / "queries"
_BASE = QUERIES / "_telemetry.sql"

Dialect = Literal["athena", "duckdb", "ministack"]
BATCHES, HOURS = "telemetry_batches", "telemetry_hours"


@dataclass(frozen=True)
class Days:
    """The days of receipt (UTC) that a query reads, both included."""

    first: date
    last: date


@dataclass(frozen=True)
class SavedQuery:
    """A file of ``queries/``; ``about`` is its first line."""

    name: str
    about: str
    sql: str


def names() -> list[str]:
    """Return the saved queries."""
    return sorted(path.stem for path in QUERIES.glob("[!_]*.sql"))


def load(name: str) -> SavedQuery:
    """Return the saved query ``name``.

    Raises:
        TestbedError: there is none.
    """
    if name not in names():
        raise TestbedError(f"There is no saved query {name!r}.", f"There are: {', '.join(names())}.")
    text = (QUERIES / f"{name}.sql").read_text()
    return SavedQuery(name, text.partition("\n")[0].removeprefix("--").strip(), text)


def compose(query: SavedQuery, days: Days, dialect: Dialect) -> str:
    """Return the whole statement: the query with what it reads, in ``dialect``.

    Raises:
        TestbedError: it cannot be read as Trino's SQL.
    """
    # Every command of the testbed imports this module, and this takes half a second.
    import sqlglot  # noqa: PLC0415
    from sqlglot import exp  # noqa: PLC0415

    base_text = _BASE.read_text().format(
        columns=quoted(), first_day=f"'{days.first.isoformat()}'", last_day=f"'{days.last.isoformat()}'"
    )
    try:
        base = sqlglot.parse_one(base_text, read="trino", into=exp.Select)
        whole = sqlglot.parse_one(query.sql, read="trino", into=exp.Select)
    except sqlglot.errors.ParseError as error:
        raise TestbedError(f"{query.name} is not Trino's SQL: {error}", f"See {QUERIES}.") from error
    whole.set("with_", exp.With(expressions=[*base.ctes, *whole.ctes]))
    if dialect == "athena":
        return whole.sql("athena", comments=False)
    text = whole.sql("duckdb", comments=False)
    return _for_ministack(text) if dialect == "ministack" else text


def _for_ministack(sql: str) -> str:
    """Work around ministack 1.5.33: its Athena is DuckDB, without a word of Trino's SQL, and it guesses a JSON table's
    columns from the files instead of taking Glue's: one that no file has is unknown, and times are no text.
    """
    typed = ", ".join(
        f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in duckdb_types(partitions=True).items()
    )
    table = f"(SELECT * FROM {BATCHES} UNION ALL BY NAME SELECT {typed} WHERE FALSE) AS {BATCHES}"  # noqa: S608
    return sql.replace(f"FROM {BATCHES}", f"FROM {table}")
