"""Preflight knows AWS IoT's quotas by the names that AWS gives them."""

from testbed.deploy import preflight

# AWS General Reference, "AWS IoT Core endpoints and quotas": message broker and rules engine.
DOCUMENTED = {
    "iot_connections": "Maximum concurrent client connections per account",
    "iot_connects": "Connect requests per second per account",
    "iot_publishes": "Inbound publish requests per second per account",
    "iot_outbound": "Outbound publish requests per second per account",
    "iot_rules": "Rule evaluations per second per AWS account",
}
# Of one connection or client, from the same tables.
OTHERS = ("Connect requests per second per client ID", "Publish requests per second per connection")


def test_each_quota_that_a_fleet_meets_is_known_by_its_documented_name() -> None:
    for key, name in DOCUMENTED.items():
        assert [known for known, pattern in preflight._IOT_QUOTAS.items() if pattern.search(name)] == [key]
    for name in OTHERS:
        assert not any(pattern.search(name) for pattern in preflight._IOT_QUOTAS.values())
