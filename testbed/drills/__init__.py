"""What we do to a live deployment: faults, parity, rehearsal."""
