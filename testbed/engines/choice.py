"""Which local engine to use, and why."""

from testbed.engines.base import Engine
from testbed.engines.embedded import EmbeddedEngine
from testbed.settings import EngineName


def choose(wanted: EngineName | None) -> tuple[EngineName, str]:
    """The wanted engine, or the one that every machine can run.

    Returns:
        Its name, and why in a few words.
    """
    if wanted:
        return wanted, f"ENGINE={wanted}"
    return "embedded", "it needs pip alone; ENGINE=localstack is the other"


def engine(name: EngineName) -> Engine:
    """The engine of that name."""
    if name == "embedded":
        return EmbeddedEngine()
    from testbed.engines.localstack import LocalStackEngine  # noqa: PLC0415

    return LocalStackEngine()
