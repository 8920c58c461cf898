"""What an HTTP call answered 200 to is there, whoever is killed meanwhile: bridge, broker and data plane in turn."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from testbed.engines.bridge import data_plane_options
from testbed.host import ports
from testbed.paths import REPOSITORY
from tests.integration.bridge.conftest import PATIENCE_SECONDS, Rules, Stack, drain, sqs, wait_for
from tests.integration.conftest import REGION

# The long form has 2,000 (BRIDGE_MESSAGES).
CALLS = int(os.environ.get("BRIDGE_MESSAGES", "200"))
_CALLERS = 4


@contextmanager
def killing(stack: Stack, progress: Callable[[], int]) -> Iterator[None]:
    """Kill each part as the calls inside go on, and start it again."""
    restart = {
        "bridge": stack.restart_bridge,
        "broker": stack.restart_broker,
        "data-plane": stack.restart_data_plane,
    }

    step = CALLS // (len(restart) + 1)

    def kill() -> None:
        for due, (name, start) in zip(range(step, CALLS, step), restart.items(), strict=False):
            while progress() < due:
                time.sleep(0.01)
            stack.processes[name].stop(kill=True)
            start()

    killer = threading.Thread(target=kill)
    killer.start()
    yield
    killer.join()


def call_all(stack: Stack, call: Callable[[Any, int], Any], answered: dict[int, Any]) -> None:
    """Make CALLS calls, some at once; each again, as an SDK does, until it is answered. Notes what was answered."""
    url = f"http://127.0.0.1:{stack.place.ports.data}"
    options = Config(retries={"total_max_attempts": 1}, max_pool_connections=_CALLERS)
    client = boto3.Session("test", "test", region_name=REGION).client(
        "iot-data", endpoint_url=url, config=options
    )

    def one(number: int) -> None:
        while number not in answered:
            try:
                answered[number] = call(client, number)
            except (ClientError, BotoCoreError):
                time.sleep(0.1)

    with ThreadPoolExecutor(_CALLERS) as pool:
        list(pool.map(one, range(CALLS)))
    client.close()


def test_what_http_answered_is_there_whoever_is_killed(
    stack: Stack, rules: Rules, queue: str, name: str
) -> None:
    """A publish reaches its rule; an update has a version of its own in the shadow, and rules hear of each."""
    rule, topic = name.replace("-", "_"), f"$aws/things/{name}/shadow/update/accepted"
    rules.add(f"{rule}_publish", f"SELECT n FROM 'h/{name}'", sqs(queue))
    rules.add(f"{rule}_shadow", f"SELECT version FROM '{topic}'", sqs(queue))
    published: dict[int, Any] = {}
    updated: dict[int, int] = {}

    def publish(client: Any, n: int) -> Any:
        return client.publish(topic=f"h/{name}", qos=1, payload=json.dumps({"n": n}))

    def update(client: Any, n: int) -> int:
        document = {"state": {"reported": {str(n % 50): n}}, "clientToken": str(n)}
        answer = client.update_thing_shadow(thingName=name, payload=json.dumps(document))
        return int(json.load(answer["payload"])["version"])

    with killing(stack, lambda: min(len(published), len(updated))), ThreadPoolExecutor(2) as pool:
        calls = [
            pool.submit(call_all, stack, publish, published),
            pool.submit(call_all, stack, update, updated),
        ]
        for call in calls:
            call.result()
    versions = set(updated.values())
    assert len(versions) == len(updated) == len(published) == CALLS
    found = json.load(stack.emulator.client("iot-data").get_thing_shadow(thingName=name)["payload"])
    # A call that was carried out and not answered was made again.
    assert found["version"] >= CALLS
    arrived: set[int] = set()
    told: set[int] = set()

    def all_there() -> bool:
        for one in drain(stack, queue):
            if "n" in one:
                arrived.add(one["n"])
            else:
                told.add(one["version"])
        return arrived >= published.keys() and told >= versions

    wait_for(all_there)
    assert (sorted(published.keys() - arrived), sorted(versions - told)) == ([], [])


def test_a_second_data_plane_ends_and_the_first_goes_on(stack: Stack, name: str, tmp_path: Path) -> None:
    """Both have one session, and would end each other's connection for ever; a second bridge ends, too."""
    other = replace(stack.place.ports, data=ports.choose(None, what="a second data plane"), https=0)
    options = data_plane_options(replace(stack.place, ports=other), stack.engine.endpoints(stack.place))
    command = [sys.executable, "-m", "bridge.data_plane", *options, "--state-dir", str(tmp_path)]
    second = subprocess.Popen(
        command if stack.is_mosquitto else [*command, "--names-publishers"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = second.communicate(timeout=PATIENCE_SECONDS)
    finally:
        second.kill()
    assert second.returncode == 1, output
    assert "another data plane has the session" in output
    client = stack.emulator.client("iot-data")

    def answers() -> bool:
        with suppress(ClientError, BotoCoreError):  # the first is on its way back
            client.update_thing_shadow(thingName=name, payload=b'{"state":{}}')
            return True
        return False

    assert wait_for(answers)
