"""The embedded MQTT broker: MQTT 3.1.1 and 5 over mutual TLS, as AWS IoT Core has it.

For machines without Docker and Mosquitto. It enforces AWS IoT's certificates, policies and limits, and holds one
promise that the brokers on PyPI do not: what it acknowledged to a publisher is on disk first, so a killed broker loses
nothing (docs/decisions has the comparison). It leaves out what AWS IoT leaves out: QoS 2, subscription identifiers,
enhanced authentication.
"""
