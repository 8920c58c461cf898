"""What becomes of a truck's message; the fixtures are the testbed's pytest plugin's."""

import json

import pytest


def item(aws, truck):
    found = aws("dynamodb").get_item(TableName="cold-chain-trucks", Key={"truck": {"S": truck}})
    return found.get("Item", {})


@pytest.fixture
def told(testbed, aws, eventually):
    """Wait until a queue, by its Terraform output, has something of a truck, and return all of it."""

    def wait(output, truck):
        queue, heard = testbed.terraform_outputs[output], []

        def of_the_truck():
            answer = aws("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10)
            heard.extend(json.loads(message["Body"]) for message in answer.get("Messages", []))
            return [message for message in heard if truck in message.values()]

        return eventually(of_the_truck, 60)

    return wait


def test_a_trucks_state_is_in_the_table(device, aws, eventually):
    truck = device()
    truck.publish({"truck": truck.name, "temp_c": -18.5})
    assert eventually(lambda: item(aws, truck.name))["temp_c"] == {"N": "-18.5"}


def test_what_the_function_cannot_store_is_in_its_dead_letter_queue(device, told):
    truck = device()
    truck.publish({"temp_c": -18.5, "from": truck.name})
    assert told("failed_queue", truck.name) == [{"temp_c": -18.5, "from": truck.name}]


def test_what_is_too_warm_is_told_and_kept_and_nothing_else(device, testbed, aws, told, eventually):
    truck = device()
    for temp_c in (8, 8.5):
        truck.publish({"truck": truck.name, "temp_c": temp_c})
    for queue in ("too_warm_queue", "on_call_queue"):
        assert told(queue, truck.name) == [{"truck": truck.name, "temp_c": 8.5}]
    bucket = testbed.terraform_outputs["evidence_bucket"]
    kept = eventually(
        lambda: aws("s3").list_objects_v2(Bucket=bucket, Prefix=f"{truck.name}/").get("Contents")
    )
    [body] = [aws("s3").get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in kept]
    assert json.loads(body)["temp_c"] == 8.5


def test_a_truck_follows_the_set_point_of_its_shadow(fleet, aws, eventually):
    [truck], shadows = fleet(1), aws("iot-data")
    desired = {"state": {"desired": {"set_point_c": 4}}}
    shadows.update_thing_shadow(thingName=truck, payload=json.dumps(desired))

    def reported():
        state = json.load(shadows.get_thing_shadow(thingName=truck)["payload"])["state"]
        return state.get("reported") == {"set_point_c": 4}

    assert eventually(reported, 60)
    assert eventually(lambda: item(aws, truck).get("set_point_c") == {"N": "4"}, 60)
