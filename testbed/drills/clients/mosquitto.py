"""Mosquitto's command line clients: one leaves a session behind, the other fills it, and the first comes back."""

import subprocess

from testbed.drills.clients.visit import PATIENCE_SECONDS, USER_PROPERTY, SkippedError, Visit
from testbed.engines.mosquitto import ensure_clients
from testbed.errors import TestbedError


def version() -> str:
    """Return the version; apt installs them where we are root and they are missing.

    Raises:
        SkippedError: they are not installed, and cannot be from here.
    """
    try:
        program = ensure_clients()
    except TestbedError as error:
        raise SkippedError(f"{error.problem} {error.remedy}") from error
    said = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False).stdout
    return next((word for word in said.split() if word[:1].isdigit()), "")


def echo(visit: Visit) -> None:
    """Have ``mosquitto_sub`` receive what ``mosquitto_pub`` publishes."""
    kept = ["-q", "1", "-t", visit.topic, "-c", *(["-x", "60"] if visit.is_five else [])]
    visit.doing = "subscribe"
    _run(visit, "mosquitto_sub", visit.partner, *kept, "-E")
    visit.doing = "publish"
    with_property = ["-D", "publish", "user-property", *USER_PROPERTY] if visit.is_five else []
    _run(visit, "mosquitto_pub", visit.name, "-q", "1", "-t", visit.topic, "-m", "hello", *with_property)
    visit.doing = "receive"
    shown = "%p %P" if visit.is_five else "%p"
    got = _run(visit, "mosquitto_sub", visit.partner, *kept, "-C", "1", "-F", shown)
    visit.doing = "end the session"
    _run(visit, "mosquitto_sub", visit.partner, "-q", "1", "-t", visit.topic, "-E")
    visit.expect("message", got, "hello " + ":".join(USER_PROPERTY) if visit.is_five else "hello")


def _run(visit: Visit, program: str, name: str, *arguments: str) -> str:
    """Run one of them as a thing, and return what it printed.

    Raises:
        AssertionError: it failed, or took too long.
    """
    try:
        done = subprocess.run(
            [
                str(ensure_clients().with_name(program)),
                *("-V", "mqttv5" if visit.is_five else "mqttv311", "-i", name),
                *("-h", visit.host, "-p", str(visit.port), "--cafile", visit.ca),
                *("--cert", str(visit.certificate(name)), "--key", str(visit.key(name))),
                *arguments,
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{program} did not end within {PATIENCE_SECONDS:g} s") from error
    if done.returncode or "denied" in done.stderr:
        raise AssertionError(f"{program} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()
