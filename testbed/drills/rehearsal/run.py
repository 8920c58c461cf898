"""Do what a person does with an account, step by step, each with what must come of it."""

import gzip
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.credentials import Credentials

from bridge.authority import Authority
from simulator.options import TOPIC_ROOT
from testbed.archive import reader
from testbed.dashboard import start_door
from testbed.deploy import enforced_iam, policies, terraform
from testbed.deploy.airgap.iot_proxy import iot_proxy
from testbed.deploy.deployment import Deployment
from testbed.deploy.local import start_at_once
from testbed.drills.rehearsal import rights
from testbed.drills.rehearsal.front import Front, aws_front
from testbed.engines import embedded
from testbed.engines.base import Place, Ports, Runtime
from testbed.errors import TestbedError
from testbed.host import emulated, ports, processes
from testbed.host.processes import Process
from testbed.identity.enrolment import Enrolment
from testbed.paths import REPOSITORY, TERRAFORM, state_root
from testbed.stations import observers

Say = Callable[[str], None]

REGION = "eu-central-1"
ENVIRONMENT = "rehearse"

# Where the rehearsal's deployment is.
PROJECT, ACCOUNT = "ev-swap", "000000000000"

# Services whose calls ministack 1.5.33 takes for calls without a resource, where AWS knows the resource's name.
_NAMELESS = (
    "athena:",
    "budgets:",
    "cloudwatch:",
    "dynamodb:ListTagsOfResource",
    rights.EVENTS,
    "kinesis:GetRecords",
    "lambda:",
    "sns:ListTagsForResource",
    "wafv2:",
)

# Condition keys that ministack 1.5.33 does not fill in: a statement with one of them would allow nothing.
_UNKNOWN_KEYS = {"iam:PermissionsBoundary", "iam:PassedToService", "iam:AWSServiceName"}

# End-to-end tests that a stand-in cannot pass, and why; docs/limitations.md has those that skip themselves.
_LEFT_OUT = {
    "tests/e2e/test_analytics.py::test_athena_and_duckdb_give_the_same_rows": (
        "on AWS the queries go out in Trino's SQL, and ministack's Athena is DuckDB"
    ),
}

# The emulator runs functions as child processes of one machine: few of them.
_VARIABLES = {
    "TF_VAR_lambda_reserved_concurrency": "2",
    "TF_VAR_telemetry_max_concurrency": "2",
    "TF_VAR_telemetry_timeout_seconds": "20",
    "TF_VAR_queue_visibility_timeout_seconds": "30",
    "TF_VAR_table_auto_scaling": "false",
    # What is off by default is rehearsed, too.
    "TF_VAR_dashboard_enabled": "true",
    "TF_VAR_archive_compaction": "true",
    # The tests are operators by the API key; prod wants a token of its issuer's.
    "TF_VAR_operate_with_key": "true",
    # ministack 1.5.33's own name for it is below localhost, where no browser asks a proxy.
    "TF_VAR_realtime_endpoint": f"stand-in-ats.iot.{REGION}.amazonaws.com",
    "TF_VAR_alarm_email": "ops@example.com",
    "TF_VAR_silence_alarm_minutes": "15",
}


def rehearse(say: Say, tests: list[str], stage: str = "prod", *, record: bool = False) -> None:
    """Run all steps.

    Args:
        say: prints a line.
        tests: pytest's arguments.
        stage: whose settings: ``dev`` or ``prod``.
        record: write what IAM was asked into ``asked.json``.

    Raises:
        TestbedError: a step did not end as it must.
    """
    begun = time.monotonic()
    home = state_root() / "rehearsal"
    # What an earlier rehearsal that failed has left to look at.
    for stale in (home, *(state_root() / "deployments").glob(f"aws-*-{ENVIRONMENT}")):
        shutil.rmtree(stale, ignore_errors=True)
    chosen = settings_of(stage) | chosen_beside(os.environ)
    say(f"With the settings of {stage}: {', '.join(name.removeprefix('TF_VAR_') for name in chosen)}")
    with stand_in(home) as aws:
        aws.environment |= chosen
        _steps(aws, say, tests)
        with step(say, "no permission that is not used: each action taken away from the policies"):
            _hold_rights(aws, say, stage, record=record)
    shutil.rmtree(home)
    say(f"Rehearsed in {time.monotonic() - begun:.0f} s: nothing was left.")


def settings_of(stage: str) -> dict[str, str]:
    """Return the variables of ``terraform/environments/<stage>.tfvars`` as a shell would set them.

    The rehearsal's deployment has an environment of its own, so that it is nobody's.

    Raises:
        TestbedError: there is no such file.
    """
    path = TERRAFORM / "environments" / f"{stage}.tfvars"
    if not path.is_file():
        raise TestbedError(f"There is no {path.name} in terraform/environments.", "Use dev or prod.")
    found = re.findall(r'^(\w+)\s*=\s*"?([^"\n]*)"?$', path.read_text(), re.MULTILINE)
    return {f"TF_VAR_{name}": value for name, value in found}


def chosen_beside(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the caller's shell sets; they win over the stage's, as they do in ``make up``.

    ``TF_VAR_ingest=kinesis TF_VAR_stream_shards=1`` rehearses a stream: ministack 1.5.33 has none on demand.
    """
    return {name: value for name, value in environment.items() if name.startswith("TF_VAR_")}


def granted(user: str) -> list[dict[str, Any]]:
    """Return the policies that a user of the rehearsal has, filled in."""
    return [policies.render(name, project=PROJECT, account=ACCOUNT) for name in rights.DOCUMENTS[user]]


def user_policy(user: str) -> dict[str, Any]:
    """Return a user's policies in one, as the stand-in can hold to them: the same actions, and no others."""
    documents = granted(user)
    statements = [statement for document in documents for statement in document["Statement"]]
    for statement in statements:
        for keys in statement.get("Condition", {}).values():
            for key in _UNKNOWN_KEYS & keys.keys():
                del keys[key]
        statement["Condition"] = {test: keys for test, keys in statement.get("Condition", {}).items() if keys}
        allowed = enforced_iam.as_list(statement["Action"])
        statement["Action"] = allowed + [alias for name in allowed for alias in rights.ALIASES.get(name, ())]
    nameless = [name for name in sorted(rights.actions(documents)) if name.startswith(_NAMELESS)]
    if user == "deployer":
        nameless += rights.TESTS_ALONE
    statements.append({"Sid": "Nameless", "Effect": "Allow", "Action": nameless, "Resource": "*"})
    return {"Version": "2012-10-17", "Statement": statements}


class StandIn:
    """A running stand-in for AWS, with what a deployer's shell has in its environment."""

    def __init__(self, place: Place, account: "boto3.Session", url: str, front: Front) -> None:
        self.place = place
        self.root = account
        self.url = url
        self.front = front
        # The project's.
        self.folder = REPOSITORY
        self.environment: dict[str, str] = {}
        self.stranger: dict[str, str] = {}
        self.planner: boto3.Session = account
        self.planners_keys: dict[str, str] = {}

    def user(self, name: str, policy: str | None) -> tuple[boto3.Session, dict[str, str]]:
        """Make an IAM user, and give a session of his and his keys as environment variables."""
        iam = self.root.client("iam", endpoint_url=self.url)
        iam.create_user(UserName=name)
        if policy:
            iam.put_user_policy(UserName=name, PolicyName="deploy", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION)
        return session, keys

    def testbed(self, *arguments: str, fails: str = "", **environment: str) -> str:
        """Run a command of the testbed.

        Args:
            arguments: the command's.
            fails: words of the error that it must end with; empty: it must succeed.
            environment: beside the deployer's.

        Raises:
            TestbedError: it ended otherwise.
        """
        done = subprocess.run(
            [sys.executable, "-m", "testbed", *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        if (done.returncode != 0) != bool(fails) or fails not in said:
            raise TestbedError(
                f"`testbed {' '.join(arguments)}` ended with {done.returncode}, not as it must.", said[-3000:]
            )
        return said


@contextmanager
def stand_in(home: Path) -> Iterator[StandIn]:
    """Run a stand-in for AWS with a deployer and a stranger as IAM users, until the block ends.

    Args:
        home: folder for everything that it keeps.
    """
    taken = [ports.choose(None, what="the stand-in for AWS") for _ in range(4)]
    place = Place(
        home,
        Ports(aws=taken[0], mqtt=taken[1], metrics=taken[2], iot=taken[0], data=taken[3]),
        REGION,
        enforce_iam=True,
    )
    embedded.EmbeddedEngine().install()
    authority = Authority.load_or_create(place.certificates / "authority", name="Stand-in CA")
    with aws_front(place.ports.aws, authority, place.data("front")) as front:
        aws = embedded.start_ministack(place, place.ports.aws, name="aws", functions_call=front.url)
        try:
            url = f"http://127.0.0.1:{place.ports.aws}"
            stand_in = StandIn(place, emulated.session(REGION), url, front)
            stand_in.root.client("iam", endpoint_url=url).create_policy(
                PolicyName=f"{PROJECT}-boundary",
                PolicyDocument=json.dumps(_boundary()),
            )
            deployer, keys = stand_in.user("deployer", json.dumps(user_policy("deployer")))
            stand_in.planner, stand_in.planners_keys = stand_in.user(
                "planner", json.dumps(user_policy("planner"))
            )
            _, stand_in.stranger = stand_in.user("stranger", None)
            with iot_proxy(url, deployer, REGION) as front.iot_url:
                stand_in.environment = _environment(place, front.url, str(authority.path)) | keys
                yield stand_in
        finally:
            aws.stop()


def _environment(place: Place, proxy: str, authority: str) -> dict[str, str]:
    """Return the environment of a deployer's shell; nothing in it is of the testbed's local engines."""
    runtime = Runtime.of_this_machine()
    settings = {
        "TARGET": "aws",
        "ENVIRONMENT": ENVIRONMENT,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "HTTPS_PROXY": proxy,
        "NO_PROXY": "127.0.0.1,localhost",
        # boto3 and Terraform's provider; Python's and Go's own HTTPS; requests.
        "AWS_CA_BUNDLE": authority,
        "SSL_CERT_FILE": authority,
        "REQUESTS_CA_BUNDLE": authority,
        "LAMBDA_PYTHON": runtime.python,
        "LAMBDA_ARCHITECTURE": runtime.architecture,
        # IoT Core's data plane is our broker here, with the bridge as rules engine.
        "IOT_ENDPOINT": f"localhost:{place.ports.mqtt}",
        "TESTBED_HOME": str(state_root()),
    }
    if not terraform.registry_answers():
        settings["AIR_GAPPED"] = "1"
    # AWS makes the key's value; ministack 1.5.33 makes none where the provider sends an empty one.
    key = {"TF_VAR_api_key_value": secrets.token_urlsafe(30)}
    return processes.clean_environment() | settings | _VARIABLES | key | {"ENGINE": "", "DEPLOYMENT": ""}


def _steps(stand_in: StandIn, say: Say, tests: list[str]) -> None:
    with step(say, "a user without rights gets nowhere"):
        stand_in.testbed("plan", fails="not authorized", **stand_in.stranger)
    with step(say, "make plan: the plan and what it costs"):
        said = _as_planner(stand_in)
        must("to add" in said and "): about $" in said, "no plan, or no cost", said)
    with step(say, "make up without a yes changes nothing"):
        stand_in.testbed("up", fails="There is nobody to ask")
        must(not _stacks(stand_in), "something was made without a confirmation", "")
    with step(say, "make up, confirmed"):
        stand_in.testbed("up", "--yes")
    with step(say, "make plan again: nothing to change, but for what provider 3.39.0 cannot keep"):
        _as_planner(stand_in)
    with step(say, "a locked state is left alone"):
        _locked(stand_in)
    started = _iot_core(stand_in)
    # ministack asks for an action that AWS has not, and no policy of ours grants.
    iam = stand_in.root.client("iam", endpoint_url=stand_in.url)
    roles = list(enforced_iam.roles(iam, f"ev-swap-{ENVIRONMENT}-"))
    for role in roles:
        enforced_iam.grant_batches(iam, role)
    try:
        for test, why in _LEFT_OUT.items():
            say(f"  left out: {test}: {why}")
        deselected = [f"--deselect={test}" for test in _LEFT_OUT]
        with step(say, f"pytest {' '.join(tests)}"):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *deselected, *tests],
                cwd=REPOSITORY,
                env=stand_in.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            log = stand_in.place.log("pytest")
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text(done.stdout + done.stderr)
            say("  " + (done.stdout.strip().splitlines() or ["pytest said nothing"])[-1])
            must(
                done.returncode == 0,
                f"the end-to-end tests failed on the stand-in, see {log}",
                done.stdout[-3000:],
            )
        with step(say, "the scheduled compaction, called once, by its own role"):
            _compaction(stand_in)
    finally:
        for process in reversed(started):
            process.stop()
    for role in roles:
        enforced_iam.withdraw_batches(iam, role)
    with step(say, "make down keeps an archive that holds data"):
        stand_in.testbed("down", "--yes", fails="holds data")
    with step(say, "make down, archive included"):
        said = stand_in.testbed("down", "--yes", "--delete-archive")
        must("is left" in said, "down did not look for what is left", said)
    with step(say, "nothing is left: by tags, by names, and no bucket at all"):
        stand_in.testbed("leftovers")
        buckets = stand_in.root.client("s3", endpoint_url=stand_in.url).list_buckets()["Buckets"]
        must(not buckets, "buckets are left", str(buckets))


def _as_planner(stand_in: StandIn) -> str:
    """Run `make plan` as who may plan and nothing else; AWS IoT's calls are signed again, so by that user, too."""
    front, usual = stand_in.front, stand_in.front.iot_url
    try:
        with iot_proxy(stand_in.url, stand_in.planner, REGION) as front.iot_url:
            return stand_in.testbed("plan", **stand_in.planners_keys)
    finally:
        front.iot_url = usual


def _hold_rights(stand_in: StandIn, say: Say, stage: str, *, record: bool) -> None:
    asked = rights.questions(embedded.questions_file(stand_in.place))
    if record:
        rights.record(stage, asked)
    for user in rights.DOCUMENTS:
        documents = granted(user)
        left = list(rights.unexplained(user, documents, asked))
        must(
            not left, f"the {user} may do what nobody asks for, and reasons.json names none", "\n".join(left)
        )
        total, needless = (
            len(rights.actions(documents)),
            rights.unused(documents, {question for question in asked if question.user == user}),
        )
        say(
            f"  {user}: {total} actions; without {total - len(needless)} a call is refused, the others have a reason"
        )


def _iot_core(stand_in: StandIn) -> list[Process]:
    """Start what stands for IoT Core's data plane, as far as a device sees it.

    IoT Core takes certificates of any authority; our broker those of one. So stations and servers have the same.
    """
    [deployed] = (state_root() / "deployments").glob(f"aws-*-{ENVIRONMENT}")
    talk, authority = start_talk(stand_in, deployed)
    return [*talk, _door(stand_in, deployed, authority)]


def start_talk(stand_in: StandIn, deployed: Path) -> tuple[list[Process], Authority]:
    """Start broker, bridge and data plane for the deployment in ``deployed``; return whose certificates they take."""
    place = stand_in.place
    shutil.copytree(place.certificates / "authority", deployed / "certs" / "authority")
    authority = Authority.load_or_create(place.certificates / "authority", name="Stand-in CA")
    server = place.certificates / "server.crt"
    authority.server("localhost", "127.0.0.1").write(server, server.with_suffix(".key"))
    return start_at_once(embedded.EmbeddedEngine(), place), authority


def _door(stand_in: StandIn, deployed: Path, authority: Authority) -> Process:
    """Start what takes pages' URLs as IoT Core does; they must be signed by the API handler's role."""
    place, iot = stand_in.place, stand_in.root.client("iot", endpoint_url=stand_in.url)
    topics = f"{TOPIC_ROOT}/+/telemetry"
    observers.make_policy(iot, "stand-in-observer", f"arn:aws:iot:{REGION}:{ACCOUNT}", topics)
    folder = place.certificates / "observers"
    Enrolment(
        stand_in.root,
        stand_in.url,
        authority=authority,
        policy="stand-in-observer",
        folder=folder,
        admitted=lambda _: None,
    ).enrol(["stand-in-door"])
    deployment = Deployment.load(deployed)
    must(deployment is not None, "there is no deployment", str(deployed))
    assert deployment is not None  # noqa: S101  # said above
    function = stand_in.root.client("lambda", endpoint_url=stand_in.url).get_function_configuration(
        FunctionName=deployment.outputs.api_function_name
    )
    stand_in.front.door_port = ports.choose(None, what="the front door")
    certificate = folder / "stand-in-door.crt"
    return start_door(place, stand_in.front.door_port, _role_of(function), certificate, topics)


def _role_of(function: Any) -> Credentials:
    """Return the session that ministack 1.5.33 gives a function of its role, which it derives from names."""
    digest = _sha(f"{function['FunctionArn']}:{function['Role']}")
    return Credentials(f"ASIA{digest[:16].upper()}", _sha(f"secret:{digest}"), _sha(f"token:{digest}"))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _boundary() -> dict[str, Any]:
    """Return the boundary of the project's roles, with the action that ministack asks for and AWS has not."""
    document: dict[str, Any] = policies.render("boundary", project=PROJECT, account=ACCOUNT)
    return document | {
        "Statement": document["Statement"] + enforced_iam.batches([document])["Statement"],
    }


def _locked(stand_in: StandIn) -> None:
    """Let somebody else be at work: a lock stands beside the state, and Terraform must not go on."""
    s3 = stand_in.root.client("s3", endpoint_url=stand_in.url)
    [bucket] = [b["Name"] for b in s3.list_buckets()["Buckets"] if "-tfstate-" in b["Name"]]
    lock = {
        "ID": "00000000-0000-0000-0000-000000000000",
        "Operation": "OperationTypeApply",
        "Who": "a colleague",
    }
    s3.put_object(Bucket=bucket, Key=f"{ENVIRONMENT}.tfstate.tflock", Body=json.dumps(lock).encode())
    stand_in.testbed("plan", fails="state lock")
    s3.delete_object(Bucket=bucket, Key=f"{ENVIRONMENT}.tfstate.tflock")


def _compaction(stand_in: StandIn) -> None:
    """Merge two objects of an hour long ago."""
    s3 = stand_in.root.client("s3", endpoint_url=stand_in.url)
    bucket, hour = f"{PROJECT}-{ENVIRONMENT}-telemetry-{ACCOUNT}", "dt=2026-01-01/hour=00/"
    for number in range(2):
        line = json.dumps({"message_id": f"old-{number}", "_received_at": 1_767_225_600_000 + number})
        body = gzip.compress(line.encode() + b"\n")
        s3.put_object(Bucket=bucket, Key=f"{reader.PREFIX}{hour}{number}.ndjson.gz", Body=body)
    answer = stand_in.root.client("lambda", endpoint_url=stand_in.url).invoke(
        FunctionName=f"{PROJECT}-{ENVIRONMENT}-archive-compactor", Payload=b'{"settle_minutes": 0}'
    )
    said = answer["Payload"].read().decode()
    must("FunctionError" not in answer, "the compaction failed", said)
    left = list(reader.objects(s3, bucket, reader.PREFIX + hour))
    merged = [record["message_id"] for record in _records(s3, bucket, reader.COMPACTED + hour)]
    must(not left and merged == ["old-0", "old-1"], f"compaction left {left}, and made {merged}", said)


def _records(s3: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    for key in reader.objects(s3, bucket, prefix):
        yield from reader.read(s3, bucket, key)


def _stacks(stand_in: StandIn) -> list[Any]:
    lambda_ = stand_in.root.client("lambda", endpoint_url=stand_in.url)
    found: list[Any] = list(lambda_.list_functions()["Functions"])
    return found


@contextmanager
def step(say: Say, name: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    say(f"ok  {time.monotonic() - begun:5.1f} s  {name}")


def must(true: bool, problem: str, said: str) -> None:
    if not true:
        raise TestbedError(f"The rehearsal failed: {problem}.", said[-6000:])
