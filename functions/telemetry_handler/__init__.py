"""Lambda: telemetry and presence events from the queue into archive, stations table and dead-letter queue."""
