"""Say how far Terraform is: resources done, of all that the plan has."""

import re
import sys
from collections.abc import Callable

_PLAN = re.compile(r"^Plan: (?:\d+ to import, )?(\d+) to add, (\d+) to change, (\d+) to destroy")
_DONE = re.compile(r": (?:Creation|Modifications|Destruction) complete after ")


class Progress:
    """Read what Terraform (or OpenTofu) prints while it applies.

    On a terminal one line is written again and again; elsewhere a line a quarter is said.
    """

    def __init__(self, say: Callable[[str], None], *, terminal: bool | None = None) -> None:
        """Say nothing yet; ``terminal``: whether standard output is one, asked if left out."""
        self._say = say
        self._terminal = sys.stdout.isatty() if terminal is None else terminal
        self._all = self._done = self._said = 0

    def read(self, line: str) -> None:
        """Take note of a line that Terraform printed."""
        if plan := _PLAN.match(line):
            self._all = sum(map(int, plan.groups()))
            self._show()
        elif _DONE.search(line):
            self._done += 1
            self._show()

    def end(self) -> None:
        """Take the line away from the terminal."""
        if self._terminal and self._all:
            print("\r\033[K", end="", flush=True)

    def _show(self) -> None:
        if not self._all:
            return
        text = f"Terraform: {self._done} of {self._all} resources"
        if self._terminal:
            print(f"\r\033[K{text}", end="", flush=True)
            return
        quarter = 4 * self._done // self._all
        if self._done == 0 or quarter > self._said:
            self._said = quarter
            self._say(text)
