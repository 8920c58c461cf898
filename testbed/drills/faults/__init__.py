"""`make drills WHAT=faults`: breaks a local deployment under load, by a seed, and audits what is left."""
