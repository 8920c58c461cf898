"""Our simulator beside known load generators and MQTT clients, on the same broker."""
