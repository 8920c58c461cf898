"""Calls to this machine never take a proxy."""

import os

_NAMES = ("127.0.0.1", "localhost", "::1")


def never_by_proxy() -> None:
    """Add loopback's names to ``NO_PROXY`` where a proxy is set; child processes inherit it.

    A proxy on another machine cannot reach our loopback, so a call through one waits for its timeout. urllib and
    botocore read the variables at each call and take every address to the proxy that ``NO_PROXY`` does not name;
    programs in Go, Terraform for one, leave loopback out by themselves.
    """
    # Without a proxy in the environment it stays as it is: with NO_PROXY alone, urllib on macOS asks the system
    # no more which proxy it has.
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in os.environ):
        return
    # urllib reads the lower-case name first, others the upper-case one: both say the same afterwards.
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    if given.strip() == "*":
        return
    names = [name.strip() for name in given.split(",") if name.strip()]
    names += [name for name in _NAMES if name not in names]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(names)
