"""The embedded MQTT broker: MQTT 3.1.1 over mutual TLS, with AWS IoT's certificates and thing policies.

For machines without Docker and Mosquitto. It holds one promise that the brokers on PyPI do not: what it
acknowledged to a publisher is on disk first, so a killed broker loses nothing (docs/decisions has the
comparison). It leaves out what AWS IoT leaves out (QoS 2) and what a testbed does not need (retained
messages are delivered, but not kept).
"""
