"""What becomes of a truck's message; the fixtures are the testbed's pytest plugin's."""

import json


def item(aws, truck):
    found = aws("dynamodb").get_item(TableName="cold-chain-trucks", Key={"truck": {"S": truck}})
    return found.get("Item")


def test_a_trucks_state_is_in_the_table(device, aws, eventually):
    truck = device()
    truck.publish({"truck": truck.name, "temp_c": -18.5})
    assert eventually(lambda: item(aws, truck.name))["temp_c"] == {"N": "-18.5"}


def test_what_is_too_warm_is_in_the_queue_and_nothing_else(device, testbed, aws, eventually):
    truck, queue = device(), testbed.terraform_outputs["too_warm_queue"]
    for temp_c in (8, 8.5):
        truck.publish({"truck": truck.name, "temp_c": temp_c})
    heard = []

    def told():
        answer = aws("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
        heard.extend(json.loads(message["Body"]) for message in answer.get("Messages", []))
        return [message for message in heard if message["truck"] == truck.name]

    assert eventually(told) == [{"truck": truck.name, "temp_c": 8.5}]
