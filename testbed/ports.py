"""Loopback ports: is one free, and which one is."""

import socket

from testbed.errors import TestbedError


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def choose(wanted: int | None, *, variable: str, what: str) -> int:
    """The wanted port if it is free, or any free one if none is wanted.

    Raises:
        TestbedError: the wanted port is taken.
    """
    if wanted is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])
    if not is_free(wanted):
        raise TestbedError(
            f"Port {wanted}, wanted for {what}, is taken by another program.",
            f"Stop that program, or choose another port: make up {variable}={wanted + 1000}",
        )
    return wanted
