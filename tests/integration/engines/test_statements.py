"""Batches of PartiQL updates on ministack, as bridge/ministack/statements.py carries them out."""

import json
from typing import Any

import pytest

from tests.integration.conftest import REGION, AwsEmulator
from tests.integration.engines import statements

ELSEWHERE = "eu-west-1"


def test_every_batch_has_the_answer_that_dynamodb_local_gave(aws_emulator: AwsEmulator) -> None:
    """DynamoDB Local 3.1.0 is asked again by tests/integration/engines/localstack_process/test_statements.py."""
    ours = statements.answers(aws_emulator.client("dynamodb"), "statements")
    for call, answer, recorded in zip(
        [*statements.CALLS, "the items", statements.TWICE],
        ours,
        json.loads(statements.RECORDED.read_text()),
        strict=True,
    ):
        assert answer == recorded, call


@pytest.mark.parametrize(
    "statement",
    [
        'UPDATE "t-refused" SET "a"=if_not_exists("a", ?) WHERE "station_id"=?',
        'UPDATE "t-refused" SET "a"=? WHERE "station_id"=? OR "b" IS MISSING',
    ],
)
def test_what_is_not_carried_out_is_refused_by_name(aws_emulator: AwsEmulator, statement: str) -> None:
    client = aws_emulator.client("dynamodb")
    table(client, "t-refused")
    item = {"station_id": {"S": "one"}, "c": {"S": "there"}}
    client.put_item(TableName="t-refused", Item=item)
    asked: Any = {"Statement": statement, "Parameters": [{"S": "x"}, {"S": "one"}]}
    [answer] = client.batch_execute_statement(Statements=[asked])["Responses"]
    assert answer["Error"]["Code"] == "ValidationError"
    assert client.scan(TableName="t-refused")["Items"] == [item]
    client.delete_table(TableName="t-refused")


def test_a_change_is_told_to_the_stream_and_to_the_replica(aws_emulator: AwsEmulator) -> None:
    """Change items by several statements, by one, and by one that ministack reads for itself; UpdateItem tells, too."""
    client = aws_emulator.client("dynamodb")
    stream = table(client, "t-told")
    client.update_table(TableName="t-told", ReplicaUpdates=[{"Create": {"RegionName": ELSEWHERE}}])
    for station in ("one", "two"):
        client.put_item(TableName="t-told", Item={"station_id": {"S": station}, "a": {"N": "1"}})
    update, own = (
        'UPDATE "t-told" SET "a"=? WHERE "station_id"=?',
        """UPDATE "t-told" SET "b"='own' WHERE "station_id"=?""",
    )
    client.batch_execute_statement(
        Statements=[
            {"Statement": update, "Parameters": [{"N": "2"}, {"S": station}]} for station in ("one", "two")
        ]
    )
    client.execute_statement(Statement=update, Parameters=[{"N": "3"}, {"S": "one"}])
    client.batch_execute_statement(Statements=[{"Statement": own, "Parameters": [{"S": "two"}]}])

    records = aws_emulator.client("dynamodbstreams")
    [shard] = records.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"]
    iterator = records.get_shard_iterator(
        StreamArn=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    found = [each["dynamodb"] for each in records.get_records(ShardIterator=iterator)["Records"]]
    assert [(each["OldImage"].get("a"), each["NewImage"].get("a")) for each in found[2:]] == [
        ({"N": "1"}, {"N": "2"}),
        ({"N": "1"}, {"N": "2"}),
        ({"N": "2"}, {"N": "3"}),
        ({"N": "2"}, {"N": "2"}),
    ]
    with_replica = aws_emulator.client("dynamodb", region_name=ELSEWHERE)
    assert REGION != ELSEWHERE
    items = {each["station_id"]["S"]: each for each in with_replica.scan(TableName="t-told")["Items"]}
    assert items["one"]["a"] == {"N": "3"}
    assert items["two"] == {"station_id": {"S": "two"}, "a": {"N": "2"}, "b": {"S": "own"}}


def table(client: Any, name: str) -> str:
    """Make a table with a stream; return the stream's ARN."""
    made = client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "station_id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "station_id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    return str(made["TableDescription"]["LatestStreamArn"])
