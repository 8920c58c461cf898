"""Records what a target answers to a fixed scenario, and holds another target against the record."""
