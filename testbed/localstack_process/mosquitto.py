"""Finds Mosquitto, or installs it."""

from pathlib import Path

from testbed import debian

# Where Debian puts it; not on every user's PATH.
_ELSEWHERE = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_REMEDY = "Install it (Debian: sudo apt-get install mosquitto; macOS: brew install mosquitto)."


def find_mosquitto() -> Path | None:
    """The broker's program, if it is installed."""
    return debian.find(("mosquitto",), _ELSEWHERE)


def ensure_mosquitto() -> Path:
    """The broker's program; installed by apt where we are root and it is missing.

    Raises:
        TestbedError: it is not there, and cannot be installed from here.
    """
    return debian.ensure(("mosquitto",), "mosquitto", _REMEDY, _ELSEWHERE)
