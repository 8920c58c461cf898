"""The running pipeline: its API, dead letters, logs, and when it is quiet."""
