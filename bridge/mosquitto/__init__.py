"""Mosquitto as AWS IoT's message broker: its access lists, revocations and presence from the registry."""
