"""The front door: MQTT over WebSocket for pages."""
