"""Record what a target answers to a fixed scenario, and hold another target against the record."""
