"""The columns of the archive, in one place. Terraform's Glue tables have the same; a test holds them to it."""

# name, type in Glue. What else a station sent is in the archived line alone.
COLUMNS = (
    ("station_id", "string"),
    ("timestamp", "string"),
    ("message_id", "string"),
    ("sequence", "bigint"),
    ("battery_available", "bigint"),
    ("slots", "bigint"),
    ("charging", "bigint"),
    ("swaps_total", "bigint"),
    ("queue_length", "bigint"),
    ("power_kw", "double"),
    ("temperature_c", "double"),
    ("grid_kw", "double"),
    ("latitude", "double"),
    ("longitude", "double"),
    ("status", "string"),
    ("firmware", "string"),
    ("_received_at", "bigint"),
    ("_topic", "string"),
    ("_source_message_id", "string"),
)
PARTITIONS = (("dt", "string"), ("hour", "string"))
# A compacted hour has this, too: the line as the handler wrote it.
LINE = "line"

_DUCKDB = {"string": "VARCHAR", "bigint": "BIGINT", "double": "DOUBLE"}


def duckdb_types(*, partitions: bool = False) -> dict[str, str]:
    """Column -> type in DuckDB."""
    columns = (*COLUMNS, *PARTITIONS) if partitions else COLUMNS
    return {name: _DUCKDB[kind] for name, kind in columns}


def quoted() -> str:
    """Return the columns as a SQL list."""
    return ", ".join(f'"{name}"' for name, _ in COLUMNS)
