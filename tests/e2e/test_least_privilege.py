"""No role may do more than it needs: whichever single action is taken from a policy, something stops working.

What a function does itself is tried with the deployed function, under its role with the action taken out. What AWS does
with the role (to poll a queue, to write logs, to carry out a rule's action) no emulator asks a policy for: those calls
are made here, by a role with the same policy.
"""

import base64
import copy
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore import xform_name
from botocore.exceptions import ClientError

from bridge.policies import Connection, Policies
from testbed.deploy import enforced_iam
from testbed.deploy.deployment import Deployment
from testbed.deploy.enforced_iam import as_list
from testbed.drills.faults import proxy
from testbed.operations.firmware import job_prefix
from testbed.pipeline import api


@dataclass(frozen=True)
class Grant:
    """One action on one resource, as a policy of a role allows it."""

    role: str
    policy: str
    statement: int
    action: str
    resource: str

    def __str__(self) -> str:
        return f"{self.role}: {self.action} on {self.resource}"


def grants(role: str, policies: dict[str, dict[str, Any]]) -> Iterator[Grant]:
    for name, document in policies.items():
        for number, statement in enumerate(document["Statement"]):
            for action in as_list(statement["Action"]):
                for resource in as_list(statement["Resource"]):
                    yield Grant(role, name, number, action, resource)


def without(grant: Grant, document: dict[str, Any]) -> dict[str, Any]:
    """Copy the document with this grant alone taken out."""
    reduced = copy.deepcopy(document)
    statement = reduced["Statement"].pop(grant.statement)
    for action in as_list(statement["Action"]):
        kept = [
            each
            for each in as_list(statement["Resource"])
            if (action, each) != (grant.action, grant.resource)
        ]
        if kept:
            sid = f"{statement['Sid']}{len(reduced['Statement'])}"
            reduced["Statement"].append(statement | {"Sid": sid, "Action": action, "Resource": kept})
    return reduced


# ---------------------------------------------------------------------------
# What a function does
# ---------------------------------------------------------------------------


def handles(deployment: Deployment, **changes: Any) -> bool:
    """Tell whether the telemetry handler makes a message safe."""
    telemetry = {
        "station_id": "least-privilege",
        "battery_available": 1,
        "message_id": uuid.uuid4().hex,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    answer = deployment.client("lambda").invoke(
        FunctionName=proxy.telemetry_function(deployment), Payload=json.dumps(telemetry | changes)
    )
    return "FunctionError" not in answer


# One batch, again and again: without the right it would be archived and not shown, which a later audit would tell.
_SEVERAL = {f"least-privilege-{uuid.uuid4().hex[:8]}": uuid.uuid4().hex for _ in range(2)}
_SAID = datetime.now(UTC)


def handles_several(deployment: Deployment) -> bool:
    """Tell whether the telemetry handler makes a batch of two stations' messages safe."""
    records = []
    for station, message_id in _SEVERAL.items():
        message = {
            "station_id": station,
            "battery_available": 1,
            "message_id": message_id,
            "timestamp": _SAID.isoformat(),
        }
        body = {
            "payload_base64": base64.b64encode(json.dumps(message).encode()).decode(),
            "client_id": station,
            "received_at": int(_SAID.timestamp() * 1000),
            "topic": deployment.telemetry_topic(station),
        }
        records.append({"messageId": station, "body": json.dumps(body), "eventSource": "aws:sqs"})
    answer = deployment.client("lambda").invoke(
        FunctionName=proxy.telemetry_function(deployment), Payload=json.dumps({"Records": records})
    )
    return "FunctionError" not in answer and not json.load(answer["Payload"])["batchItemFailures"]


def serves(path: str) -> Callable[[Deployment], bool]:
    return lambda deployment: api.get(deployment, path)[0] == 200


def fresh(deployment: Deployment) -> None:
    """Have a new process of the API handler: an old one keeps alarms and a role's credentials for a while."""
    lambda_, name = deployment.client("lambda"), deployment.outputs.api_function_name
    known = lambda_.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    lambda_.update_function_configuration(
        FunctionName=name, Environment={"Variables": known | {"FRESH": uuid.uuid4().hex}}
    )
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def fresh_summary(deployment: Deployment) -> bool:
    """Tell whether a new process gives a summary."""
    fresh(deployment)
    return serves("/summary")(deployment)


def says_why_letters_are_dead(deployment: Deployment) -> bool:
    """Tell whether a new process gives a summary while letters wait, and their reasons with it."""
    assert handles(deployment, battery_available="bad")
    return fresh_summary(deployment)


def fresh_jobs(deployment: Deployment) -> bool:
    """Tell whether a new process shows a roll-out."""
    iot, job_id = deployment.client("iot"), f"{job_prefix(deployment)}firmware-least-privilege"
    with suppress(iot.exceptions.ResourceAlreadyExistsException):
        with suppress(iot.exceptions.ResourceAlreadyExistsException):
            iot.create_thing(thingName=STATION)
        thing = iot.describe_thing(thingName=STATION)["thingArn"]
        iot.create_job(jobId=job_id, targets=[thing], document="{}", description="Firmware 1, 1 stations")
    fresh(deployment)
    status, document = api.get(deployment, "/jobs")
    return status == 200 and bool(document["jobs"])


STATION = "station-least-privilege"
# Another: one that speaks and does not report what is set of it is an audit's finding.
SPEAKING = "station-least-privilege-speaks"


def shows_settings(deployment: Deployment) -> bool:
    document = {"state": {"reported": {"settings": {"maintenance_mode": False}}}}
    deployment.client("iot-data").update_thing_shadow(
        thingName=STATION, payload=json.dumps(document).encode()
    )
    return serves(f"/stations/{STATION}/settings")(deployment)


def changes_settings(deployment: Deployment) -> bool:
    change = {"settings": {"maintenance_reason": uuid.uuid4().hex}}
    return (
        shows_settings(deployment)
        and api.send(deployment, "PATCH", f"/stations/{STATION}/settings", change)[0] == 202
    )


def sends_command(deployment: Deployment) -> bool:
    assert handles(deployment, station_id=SPEAKING)
    return api.send(deployment, "POST", f"/stations/{SPEAKING}/commands", {"command": "identify"})[0] == 202


def shows_commands(deployment: Deployment) -> bool:
    return sends_command(deployment) and serves(f"/stations/{SPEAKING}/commands")(deployment)


def fresh_command(deployment: Deployment) -> bool:
    """Tell whether a new process can send a command."""
    fresh(deployment)
    return sends_command(deployment)


BY_THE_FUNCTION: dict[tuple[str, str], Callable[[Deployment], bool]] = {
    ("telemetry-handler", "s3:PutObject"): handles,
    ("telemetry-handler", "dynamodb:UpdateItem"): handles,
    ("telemetry-handler", "dynamodb:PartiQLUpdate"): handles_several,
    # A station of its own, so that the message begins an interval of the history.
    ("telemetry-handler", "dynamodb:PutItem"): lambda deployment: handles(
        deployment, station_id=f"least-privilege-{uuid.uuid4().hex[:8]}"
    ),
    ("telemetry-handler", "sqs:SendMessage"): lambda deployment: handles(deployment, battery_available="bad"),
    # Of the stations, and of commands.
    ("api-handler", "dynamodb:GetItem"): lambda deployment: (
        serves("/stations/least-privilege")(deployment) and shows_commands(deployment)
    ),
    ("api-handler", "sts:AssumeRole"): fresh_command,
    ("commands", "iot:Publish"): sends_command,
    ("api-handler", "dynamodb:Scan"): serves("/stations"),
    # Of the history, and of who changed settings.
    ("api-handler", "dynamodb:Query"): lambda deployment: (
        serves("/stations/least-privilege/history")(deployment) and shows_settings(deployment)
    ),
    ("api-handler", "dynamodb:PutItem"): changes_settings,
    ("api-handler", "iot:GetThingShadow"): shows_settings,
    ("api-handler", "iot:UpdateThingShadow"): changes_settings,
    ("api-handler", "sqs:GetQueueAttributes"): serves("/summary"),
    ("api-handler", "sqs:ReceiveMessage"): says_why_letters_are_dead,
    ("api-handler", "cloudwatch:DescribeAlarms"): fresh_summary,
    ("api-handler", "iot:ListJobs"): fresh_jobs,
    ("api-handler", "iot:DescribeJob"): fresh_jobs,
}


# ---------------------------------------------------------------------------
# What AWS IoT asks of the role that signed a page's URL: no emulator takes one, so our reading of its policies is asked
# ---------------------------------------------------------------------------


def listens(document: dict[str, Any]) -> bool:
    """Tell whether a page may connect, subscribe and get a station's telemetry; and may do nothing else."""
    policies = Policies((document,))
    page = Connection("dashboard-1", "", ())
    topic = "ev-swap/stations/station-01/telemetry"
    wanted = (
        ("iot:Connect", "client/dashboard-1"),
        ("iot:Subscribe", "topicfilter/ev-swap/stations/+/telemetry"),
        # Where the network says more than a connection may hear, the page's connections share it.
        ("iot:Subscribe", "topicfilter/$share/page-1/ev-swap/stations/+/telemetry"),
        ("iot:Receive", f"topic/{topic}"),
    )
    for action, resource in {
        "iot:Connect": "client/station-01",
        "iot:Subscribe": "topicfilter/#",
        "iot:Publish": f"topic/{topic}",
        "iot:Receive": "topic/ev-swap/stations/station-01/commands",
    }.items():
        assert not policies.allow(action, resource, page), f"a page may {action} on {resource}"
    return all(policies.allow(action, resource, page) for action, resource in wanted)


# ---------------------------------------------------------------------------
# What AWS does with the role
# ---------------------------------------------------------------------------


def queue(sqs: Any, arn: str) -> str:
    """Return the queue's URL, which needs no permission of its own here."""
    host = sqs.meta.endpoint_url
    _, _, _, _, account, name = arn.split(":")
    return f"{host}/{account}/{name}"


def log_group(arn: str) -> str:
    return arn.removesuffix(":*").rpartition("log-group:")[2]


BY_AWS: dict[tuple[str, str], tuple[str, Callable[[Any, str], object]]] = {
    ("telemetry-handler", "sqs:ReceiveMessage"): (
        "sqs",
        lambda sqs, arn: sqs.receive_message(QueueUrl=queue(sqs, arn), VisibilityTimeout=0),
    ),
    ("telemetry-handler", "sqs:DeleteMessage"): (
        "sqs",
        lambda sqs, arn: sqs.delete_message(QueueUrl=queue(sqs, arn), ReceiptHandle="none"),
    ),
    ("telemetry-handler", "sqs:GetQueueAttributes"): (
        "sqs",
        lambda sqs, arn: sqs.get_queue_attributes(QueueUrl=queue(sqs, arn)),
    ),
    ("iot-rules", "dynamodb:PutItem"): (
        "dynamodb",
        lambda dynamodb, arn: dynamodb.put_item(TableName=arn.rpartition("/")[2], Item={}),
    ),
    # No character of XML's: refused after the policy was asked, so that nothing is in the queue.
    ("iot-rules", "sqs:SendMessage"): (
        "sqs",
        lambda sqs, arn: sqs.send_message(QueueUrl=queue(sqs, arn), MessageBody="\x00"),
    ),
}
# Of a stream, where the settings have one: what an event source mapping asks of the role, and the rule's action.
for _operation, _settings in {
    "DescribeStream": {},
    "DescribeStreamSummary": {},
    "GetRecords": {"ShardIterator": "none"},
    "GetShardIterator": {"ShardId": "none", "ShardIteratorType": "LATEST"},
    "ListShards": {},
}.items():
    _method = xform_name(_operation)
    BY_AWS["telemetry-handler", f"kinesis:{_operation}"] = (
        "kinesis",
        lambda kinesis, arn, name=_method, settings=_settings: getattr(kinesis, name)(
            StreamARN=arn, **settings
        ),
    )
# Longer than a key may be: nothing is in the stream.
BY_AWS["iot-rules", "kinesis:PutRecord"] = (
    "kinesis",
    lambda kinesis, arn: kinesis.put_record(StreamARN=arn, Data=b"", PartitionKey="x" * 257),
)
BY_AWS["iot-errors", "sqs:SendMessage"] = BY_AWS["iot-rules", "sqs:SendMessage"]
for _function in ("telemetry-handler", "api-handler"):
    BY_AWS[_function, "logs:CreateLogStream"] = (
        "logs",
        lambda logs, arn: logs.create_log_stream(
            logGroupName=log_group(arn), logStreamName=f"least-privilege-{uuid.uuid4().hex}"
        ),
    )
    BY_AWS[_function, "logs:PutLogEvents"] = (
        "logs",
        lambda logs, arn: logs.put_log_events(
            logGroupName=log_group(arn), logStreamName="none", logEvents=[{"timestamp": 1, "message": "x"}]
        ),
    )


class Double:
    """A role with any policy, which the account's root may assume."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment, self._iam = deployment, deployment.client("iam")
        self.name = f"least-privilege-{uuid.uuid4().hex[:8]}"
        account = deployment.client("sts").get_caller_identity()["Account"]
        trust = {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
        role = self._iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=json.dumps(trust))
        session = deployment.client("sts").assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="test")
        self._credentials = session["Credentials"]

    def may(
        self, document: dict[str, Any], service: str, call: Callable[[Any, str], object], arn: str
    ) -> bool:
        """Tell whether the call is allowed with this policy; what else is wrong with it does not matter."""
        document = copy.deepcopy(document)
        for statement in document["Statement"]:
            arns = as_list(statement["Resource"])
            # ministack 1.5.33 asks for a log group's name alone, where AWS asks for the name and ":*".
            statement["Resource"] = arns + [each[:-2] for each in arns if each.endswith(":*")]
        if not document["Statement"]:
            return False
        self._iam.put_role_policy(RoleName=self.name, PolicyName="it", PolicyDocument=json.dumps(document))
        found = self._credentials
        client = self._deployment.session.client(
            service,
            endpoint_url=self._deployment.aws_url,
            aws_access_key_id=found["AccessKeyId"],
            aws_secret_access_key=found["SecretAccessKey"],
            aws_session_token=found["SessionToken"],
        )
        try:
            call(client, arn)
        except ClientError as error:
            return error.response["Error"]["Code"] not in ("AccessDenied", "AccessDeniedException")
        return True

    def remove(self) -> None:
        for policy in self._iam.list_role_policies(RoleName=self.name)["PolicyNames"]:
            self._iam.delete_role_policy(RoleName=self.name, PolicyName=policy)
        self._iam.delete_role(RoleName=self.name)


@pytest.fixture
def double(deployment: Deployment) -> Iterator[Double]:
    if not deployment.enforce_iam:
        pytest.skip("IAM is enforced with ENFORCE_IAM=1 on ENGINE=embedded")
    made = Double(deployment)
    yield made
    made.remove()


def test_whichever_action_is_taken_away_something_stops_working(
    deployment: Deployment, double: Double
) -> None:
    iam = deployment.client("iam")
    prefix = deployment.outputs.stations_table_name.removesuffix("stations")
    tried, needless, broken = [], [], []
    assert handles(deployment)
    for role in enforced_iam.roles(iam, prefix):
        policies = enforced_iam.policies(iam, role)
        for grant in grants(role.removeprefix(prefix), policies):
            document = policies[grant.policy]
            reduced = without(grant, document)
            key = (grant.role, grant.action)
            if grant.action in ("iot:Connect", "iot:Subscribe", "iot:Receive"):
                works, still = listens(document), listens(reduced)
            elif key in BY_AWS:
                service, call = BY_AWS[key]
                works = double.may(document, service, call, grant.resource)
                still = double.may(reduced, service, call, grant.resource)
            else:
                assert key in BY_THE_FUNCTION, f"{grant}: say here what needs it"
                check = BY_THE_FUNCTION[key]
                works = check(deployment)
                try:
                    put(iam, role, grant.policy, reduced)
                    still = check(deployment)
                finally:
                    put(iam, role, grant.policy, document)
            tried.append(str(grant))
            if not works:
                broken.append(str(grant))
            if still:
                needless.append(str(grant))
    print(*tried, sep="\n")
    assert (broken, needless) == ([], [])
    assert len(tried) >= 30


def put(iam: Any, role: str, policy: str, document: dict[str, Any]) -> None:
    if document["Statement"]:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
    else:
        iam.delete_role_policy(RoleName=role, PolicyName=policy)
    enforced_iam.grant_batches(iam, role)
