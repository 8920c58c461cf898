"""The client MQTT.js, run by Node; npm installs it into the state folder, from the lock of the fleet's benchmark."""

import json
import shutil
import subprocess
from pathlib import Path

from testbed.drills.clients.visit import PATIENCE_SECONDS, USER_PROPERTY, SkippedError, Visit
from testbed.host import locks
from testbed.paths import REPOSITORY, state_root

# The one lock of MQTT.js in this repository.
_LOCKED = REPOSITORY / "bench" / "fleet" / "drivers" / "node"
_SCRIPT = Path(__file__).with_name("mqtt_js.mjs")


def version() -> str:
    """Return the locked version; npm installs it where it is missing.

    Raises:
        SkippedError: there is no Node, or no registry.
    """
    wanted = str(json.loads((_LOCKED / "package.json").read_text())["dependencies"]["mqtt"])
    if missing := [program for program in ("node", "npm") if not shutil.which(program)]:
        raise SkippedError(f"{missing[0]} is not installed (Debian: sudo apt-get install nodejs npm).")
    with locks.exclusive("clients-node"):
        _install(wanted)
    return wanted


def _folder() -> Path:
    return state_root() / "clients-node"


def _install(wanted: str) -> None:
    folder = _folder()
    installed = folder / "node_modules" / "mqtt" / "package.json"
    if not installed.is_file() or json.loads(installed.read_text())["version"] != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_LOCKED / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise SkippedError(f"npm ci failed: {said}. A package registry must be reachable.")
    # A script finds its modules beside itself.
    shutil.copy(_SCRIPT, folder)


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
        ["node", str(_folder() / _SCRIPT.name), json.dumps(told)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    if done.returncode:
        raise AssertionError((done.stderr.strip().splitlines() or ["no message"])[-1])
