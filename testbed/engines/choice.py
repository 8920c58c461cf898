"""Which local engine to use, and why."""

from typing import get_args

from testbed.engines.base import Engine, EngineName
from testbed.engines.compose import ComposeEngine, compose_answers
from testbed.engines.embedded import EmbeddedEngine
from testbed.engines.external import ExternalEngine

NAMES: tuple[EngineName, ...] = get_args(EngineName)

# The one that every machine can run, and whose records others are held against.
EVERYWHERE: EngineName = "embedded"


def candidates(wanted: EngineName | None) -> tuple[EngineName, ...]:
    """Return the engines that a deployment may have been made with where this one was wanted."""
    if wanted is None:
        return "compose", "embedded", "localstack", "external"
    return ("compose", "localstack") if wanted == "localstack" else (wanted,)


def choose(wanted: EngineName | None) -> tuple[EngineName, str]:
    """Return the wanted engine; LocalStack in containers where Docker answers; or the one that every machine can run.

    Returns:
        Its name, and why in a few words.
    """
    if wanted in ("embedded", "compose", "external"):
        return wanted, f"ENGINE={wanted}"
    if compose_answers():
        return "compose", "LocalStack by Docker Compose, which answers here; ENGINE=embedded needs no Docker"
    if wanted == "localstack":
        return wanted, "ENGINE=localstack; no Docker daemon with Compose answers, so LocalStack is a process"
    return "embedded", "no Docker daemon with Compose answers; ENGINE=localstack is the other"


def engine(name: EngineName) -> Engine:
    """Return the engine of that name."""
    if name == "embedded":
        return EmbeddedEngine()
    if name == "compose":
        return ComposeEngine()
    if name == "external":
        return ExternalEngine()
    from testbed.engines.localstack import LocalStackEngine  # noqa: PLC0415

    return LocalStackEngine()
