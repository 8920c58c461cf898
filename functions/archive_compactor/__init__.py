"""Lambda: merges the archive's small objects, on a schedule. Off by default."""
