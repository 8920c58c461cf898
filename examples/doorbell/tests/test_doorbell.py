"""What becomes of a ring; the fixtures are the testbed's pytest plugin's."""


def test_a_ring_is_heard(device, aws, eventually):
    door = device()
    door.publish({"door": door.name})

    def heard():
        groups = aws("logs").describe_log_groups(logGroupNamePrefix="/aws/lambda/doorbell-ring")["logGroups"]
        return groups and [
            event["message"]
            for event in aws("logs").filter_log_events(logGroupName=groups[0]["logGroupName"])["events"]
            if f"ding dong at {door.name}" in event["message"]
        ]

    assert eventually(heard)
