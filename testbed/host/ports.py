"""Loopback ports: is one free, and which one is."""

import random
import socket
from collections.abc import Container

from testbed.errors import TestbedError

# Below what systems give to outgoing connections (Linux from 32768, others from 49152): a server that is started
# again must find its port free, and one of those may be some client's by then.
_OURS = range(20_000, 32_768)


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(wanted: int | None, *, what: str, setting: str = "", but: Container[int] = ()) -> int:
    """Return the wanted port if it is free, or any free one if none is wanted.

    Args:
        wanted: a port or None.
        what: it is for.
        but: ports that are promised to somebody, though nobody listens there yet.
        setting: the command that sets another one, with ``{}`` for the port.

    Raises:
        TestbedError: the wanted port is taken.
    """
    if wanted is None:
        # At random, so that two programs that choose at once choose differently.
        return next(
            port
            for port in random.SystemRandom().sample(_OURS, len(_OURS))
            if port not in but and is_free(port)
        )
    if not is_free(wanted):
        raise TestbedError(
            f"Port {wanted}, wanted for {what}, is taken by another program.",
            f"Stop that program, or choose another port: {setting.format(wanted + 1000)}",
        )
    return wanted
