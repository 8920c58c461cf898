"""Benchmarks: what the testbed, the bridge and the simulator cost, beside others."""
