"""Do with a project of somebody's own what its user does with an account: plan, up, a message, down."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from testbed.drills.rehearsal.run import ENVIRONMENT, Say, StandIn, must, stand_in, start_talk, step
from testbed.paths import REPOSITORY, state_root

_PATIENCE_SECONDS = 60.0


def rehearse(say: Say) -> None:
    """Run all steps with a copy of ``examples/cold-chain``, as the stand-in's root user.

    Raises:
        TestbedError: a step did not end as it must.
    """
    home = state_root() / "rehearsal-own"
    shutil.rmtree(home, ignore_errors=True)
    folder = home / "cold-chain"
    shutil.copytree(REPOSITORY / "examples" / "cold-chain", folder, ignore=shutil.ignore_patterns(".testbed"))
    # What is installed is shared; what is deployed is not.
    state = folder / ".testbed"
    state.mkdir()
    for shared in ("venvs", "airgap"):
        (state / shared).symlink_to(state_root() / shared)
    with stand_in(home) as aws:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        aws.folder = folder
        aws.environment |= keys | {"TESTBED_HOME": str(state), "PYTHONPATH": str(REPOSITORY)}
        _steps(aws, say, folder)
    shutil.rmtree(home)


def _steps(aws: StandIn, say: Say, folder: Path) -> None:
    with step(say, "plan: what would change, and that it is not priced"):
        said = aws.testbed("plan")
        must("to add" in said and "not priced" in said, "no plan, or a price", said)
    with step(say, "up without a yes changes nothing"):
        aws.testbed("up", fails="There is nobody to ask")
        must(not _made(aws), "something was made without a confirmation", "")
    with step(say, "up, confirmed"):
        aws.testbed("up", "--yes")
    [deployed] = (folder / ".testbed" / "deployments").glob(f"aws-*-{ENVIRONMENT}")
    talk, _ = start_talk(aws, deployed)
    try:
        with step(say, "a truck publishes, and its item is in the table"):
            message = {"truck": "truck-1", "temp_c": -18.5, "door": "closed", "set_point_c": -20}
            aws.testbed("publish", "--enrol", "truck-1", json.dumps(message))
            _wait_for_an_item(aws)
    finally:
        for process in reversed(talk):
            process.stop()
    with step(say, "down, by Terraform's state alone"):
        aws.testbed("down", "--yes")
        must(not _made(aws), "something is left", str(_made(aws)))


def _made(aws: StandIn) -> list[str]:
    """List tables, functions, rules and things of the account, and buckets without Terraform's state."""

    session: Any = aws.root

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=aws.url)

    buckets = [each["Name"] for each in client("s3").list_buckets()["Buckets"]]
    return [
        *client("dynamodb").list_tables()["TableNames"],
        *(each["FunctionName"] for each in client("lambda").list_functions()["Functions"]),
        *(each["ruleName"] for each in client("iot").list_topic_rules()["rules"]),
        *(each["thingName"] for each in client("iot").list_things()["things"]),
        *(name for name in buckets if "-tfstate-" not in name),
    ]


def _wait_for_an_item(aws: StandIn) -> None:
    table = aws.root.client("dynamodb", endpoint_url=aws.url)
    [name] = table.list_tables()["TableNames"]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not table.scan(TableName=name)["Count"]:
        must(time.monotonic() < deadline, "the message is not in the table", name)
        time.sleep(0.5)
