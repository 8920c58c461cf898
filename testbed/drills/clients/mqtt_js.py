"""The client MQTT.js, run by Node; npm installs it into the state folder, from the lock of the fleet's benchmark."""

import json
import shutil
import subprocess
from pathlib import Path

from testbed.drills.clients.visit import PATIENCE_SECONDS, USER_PROPERTY, SkippedError, Visit
from testbed.errors import TestbedError
from testbed.host import node
from testbed.paths import REPOSITORY, state_root

# The one lock of MQTT.js in this repository.
_LOCKED = REPOSITORY / "bench" / "fleet" / "drivers" / "node"
_NAME = "mqtt-js"
_SCRIPT = Path(__file__).with_name("mqtt_js.mjs")


def version() -> str:
    """Return the locked version; npm installs it where it is missing.

    Raises:
        SkippedError: there is no Node, or no registry.
    """
    wanted = str(json.loads((_LOCKED / "package.json").read_text())["dependencies"]["mqtt"])
    if not shutil.which("node"):
        raise SkippedError("node is not installed (Debian: sudo apt-get install nodejs npm).")
    try:
        # A script finds its modules beside itself.
        shutil.copy(_SCRIPT, node.packages(_NAME, _LOCKED))
    except TestbedError as error:
        raise SkippedError(f"{error.problem} {error.remedy}") from error
    return wanted


def echo(visit: Visit) -> None:
    """Publish to itself, in a process of Node."""
    told = {
        "host": visit.host,
        "port": visit.port,
        "ca": visit.ca,
        "cert": str(visit.certificate()),
        "key": str(visit.key()),
        "name": visit.name,
        "topic": visit.topic,
        "five": visit.is_five,
        "property": USER_PROPERTY,
    }
    visit.doing = "run"
    done = subprocess.run(
        ["node", str(state_root() / "node" / _NAME / _SCRIPT.name), json.dumps(told)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    if done.returncode:
        raise AssertionError((done.stderr.strip().splitlines() or ["no message"])[-1])
