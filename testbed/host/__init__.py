"""This machine: processes, containers, ports, locks, environments, programs."""
