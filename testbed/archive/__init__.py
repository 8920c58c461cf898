"""Questions to the archive: saved SQL through Athena where there is one, through DuckDB elsewhere; and compaction.

The SQL is Trino's, which Athena speaks. For DuckDB it is translated, so that there is one text of each query.
"""
