"""Which local engine to use, and why."""

import os
from pathlib import Path

from testbed.engines.base import Engine
from testbed.engines.embedded import EmbeddedEngine
from testbed.settings import EngineName


def choose(wanted: EngineName | None) -> tuple[EngineName, str]:
    """The wanted engine, or the best that this machine can run.

    Returns:
        Its name, and why in a few words.
    """
    if wanted:
        return wanted, f"ENGINE={wanted}"
    if docker_answers():
        return "localstack", "a Docker daemon answers"
    return "embedded", "no Docker daemon answers"


def docker_answers() -> bool:
    """Whether a Docker daemon can be used from here."""
    if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        return False
    # Heavy to import, and not there to be used on most machines.
    import docker  # noqa: PLC0415
    from docker.errors import DockerException  # noqa: PLC0415

    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except Exception:  # any failure of the daemon means: not that engine
        return False
    finally:
        client.close()


def engine(name: EngineName) -> Engine:
    """The engine of that name."""
    if name == "embedded":
        return EmbeddedEngine()
    from testbed.engines.localstack import LocalStackEngine  # noqa: PLC0415

    return LocalStackEngine()
