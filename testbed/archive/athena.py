"""Queries by Athena."""

import time
from typing import Any

from testbed.archive.results import Rows, Value
from testbed.errors import TestbedError

_PATIENCE_SECONDS = 300.0
_NUMBERS = {"tinyint": int, "smallint": int, "integer": int, "bigint": int, "double": float, "float": float}


def run(athena: Any, sql: str, *, database: str, workgroup: str) -> Rows:
    """Run ``sql``, and wait for its rows.

    Raises:
        TestbedError: Athena says that it failed, or it took too long.
    """
    query = athena.start_query_execution(
        QueryString=sql, QueryExecutionContext={"Database": database}, WorkGroup=workgroup
    )["QueryExecutionId"]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        status = athena.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
        if status["State"] == "SUCCEEDED":
            break
        if status["State"] in ("FAILED", "CANCELLED"):
            raise TestbedError(
                f"Athena could not run it: {status.get('StateChangeReason', status['State'])}",
                f"Execution {query} in workgroup {workgroup} has the SQL.",
            )
        if time.monotonic() > deadline:
            athena.stop_query_execution(QueryExecutionId=query)
            raise TestbedError("Athena takes too long.", "Ask for fewer days: ARGS='--days 1'")
        time.sleep(0.2)
    return _rows(athena, query)


def _rows(athena: Any, query: str) -> Rows:
    columns: list[Any] = []
    rows: list[tuple[Value, ...]] = []
    for number, page in enumerate(athena.get_paginator("get_query_results").paginate(QueryExecutionId=query)):
        result = page["ResultSet"]
        columns = result["ResultSetMetadata"]["ColumnInfo"]
        # The first row of a SELECT's first page is the columns' names.
        for row in result["Rows"][1:] if number == 0 else result["Rows"]:
            rows.append(
                tuple(_value(cell, column) for cell, column in zip(row["Data"], columns, strict=True))
            )
    return Rows(tuple(column["Name"] for column in columns), rows)


def _value(cell: dict[str, str], column: dict[str, str]) -> Value:
    text = cell.get("VarCharValue")
    return None if text is None else _NUMBERS.get(column["Type"], str)(text)
