"""Lambda: the stations' latest state over REST."""
