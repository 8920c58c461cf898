"""Devices that this machine plays: simulated fleets, single devices, observers."""
