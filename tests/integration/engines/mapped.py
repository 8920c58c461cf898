"""A stream whose mapping calls a function that notes what it was given, on any engine's AWS APIs."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable
from typing import Any, Protocol

from testbed.host import processes

# Notes what it is given; "kill" ends every call that has it, "once" fails the first call that has it and names itself.
_HANDLER = """
import base64, boto3, json, uuid
s3, seen = boto3.client("s3"), set()
def handler(event, context):
    records = [each["kinesis"] for each in event["Records"]]
    given = [base64.b64decode(each["data"]).decode() for each in records]
    key = "%s/" + format(int(records[0]["sequenceNumber"]), "060d") + "/" + uuid.uuid4().hex
    s3.put_object(Bucket="%s", Key=key, Body=json.dumps(given).encode())
    if "kill" in given:
        raise RuntimeError("killed")
    for data, record in zip(given, records):
        if data.startswith("once") and data not in seen:
            seen.add(data)
            return {"batchItemFailures": [{"itemIdentifier": record["sequenceNumber"]}]}
    return {"batchItemFailures": []}
"""


class Aws(Protocol):
    """What makes clients of an emulator."""

    def client(self, service: str) -> Any:
        """Make one."""


class Mapped:
    """A stream of one shard whose mapping calls a function, and a queue for what is given up."""

    def __init__(self, aws: Aws) -> None:
        self.kinesis, self.sqs, self._s3 = aws.client("kinesis"), aws.client("sqs"), aws.client("s3")
        self._lambda = aws.client("lambda")
        self.name = f"streams-{uuid.uuid4().hex[:8]}"
        self._s3.create_bucket(
            Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": self._s3.meta.region_name}
        )
        self.kinesis.create_stream(StreamName=self.name, ShardCount=1)
        self.kinesis.get_waiter("stream_exists").wait(StreamName=self.name, WaiterConfig={"Delay": 1})
        self.queue = self.sqs.create_queue(QueueName=self.name)["QueueUrl"]
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("noting.py", _HANDLER % (self.name, self.name))
        self._lambda.create_function(
            FunctionName=self.name,
            Runtime="python3.12",
            Handler="noting.handler",
            Timeout=30,
            Role="arn:aws:iam::000000000000:role/streams",
            Code={"ZipFile": package.getvalue()},
        )
        self._lambda.put_function_concurrency(FunctionName=self.name, ReservedConcurrentExecutions=1)

    def map(self, **settings: Any) -> None:
        """Map the stream to the function."""
        [queue, stream_] = [
            self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])["Attributes"][
                "QueueArn"
            ],
            self.kinesis.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"][
                "StreamARN"
            ],
        ]
        self.mapping = self._lambda.create_event_source_mapping(
            EventSourceArn=stream_,
            FunctionName=self.name,
            StartingPosition="TRIM_HORIZON",
            FunctionResponseTypes=["ReportBatchItemFailures"],
            DestinationConfig={"OnFailure": {"Destination": queue}},
            **settings,
        )["UUID"]

    def put(self, *data: str) -> list[str]:
        """Put records of one key; return their sequence numbers."""
        records = [{"Data": each.encode(), "PartitionKey": "station-1"} for each in data]
        answer = self.kinesis.put_records(StreamName=self.name, Records=records)
        return [each["SequenceNumber"] for each in answer["Records"]]

    def deliveries(self) -> list[list[str]]:
        """Return what each call was given, by its first record, and in any order from there."""
        found = self._s3.list_objects_v2(Bucket=self.name).get("Contents", [])
        keys = sorted(each["Key"] for each in found)
        return [json.load(self._s3.get_object(Bucket=self.name, Key=key)["Body"]) for key in keys]

    def wait_for(self, wanted: Callable[[], bool], seconds: float = 60) -> None:
        processes.wait_until(wanted, what="The stream's deliveries", seconds=seconds)

    def close(self) -> None:
        """End the mapping: other tests have the emulator, too."""
        self._lambda.delete_event_source_mapping(UUID=self.mapping)
