"""Real clients of AWS IoT against what is up: each connects as a device of its own and does what its samples do."""
