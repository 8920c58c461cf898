"""How code below the command line talks to a person."""

from collections.abc import Callable

Say = Callable[[str], None]
