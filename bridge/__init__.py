"""Carries MQTT messages to AWS services by AWS IoT topic rules."""
