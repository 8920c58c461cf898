"""A region is lost under load: the fleet goes to the other one, and comes home."""
