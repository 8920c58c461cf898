"""A fleet of EV battery-swap stations that publish telemetry over MQTT."""
