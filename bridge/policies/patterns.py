"""Texts of a policy: wildcards, and variables that are filled in at each request."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from bridge.policies.connection import Values, canonical, fillable

# Stand for the characters themselves in a text whose * and ? are wildcards. Unicode says that neither is a character.
STAR: Final = "\ufdd0"
QUESTION: Final = "\ufdd1"

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}|\$\((\*|\?|\$)\)")
_WILD: Final = re.compile(f"[*?{STAR}{QUESTION}]")
_LITERAL: Final = str.maketrans({"*": STAR, "?": QUESTION})
_ARN_PARTS: Final = 6
_WORDS: Final = {"*": ".*", "?": ".", STAR: r"\*", QUESTION: r"\?"}

Lookup = Callable[[str], Values | None]


class Unfilled:
    """Says why a text could not be filled in: its variable has no value, or its value cannot be known here."""

    def __init__(self, *, known: bool) -> None:
        self.known = known


NO_VALUE: Final = Unfilled(known=True)
NOT_KNOWN: Final = Unfilled(known=False)


@dataclass(frozen=True)
class Text:
    """A text of a policy, in parts: ``(text, None)`` or ``("", canonical key)``."""

    written: str
    parts: tuple[tuple[str, str | None], ...]
    faults: tuple[str, ...]

    @classmethod
    def of(cls, written: str, *, may_have_variables: bool) -> "Text":
        """Take a text apart; what is no variable of AWS IoT is a fault."""
        parts: list[tuple[str, str | None]] = []
        faults: list[str] = []
        place = 0
        for found in _VARIABLE.finditer(written):
            parts.append((written[place : found.start()], None))
            place = found.end()
            sign = found[2] or (found[1] if found[1] in {"*", "?", "$"} else None)
            if sign:
                parts.append((sign.translate(_LITERAL), None))
                continue
            key = canonical(found[1])
            if key is None:
                faults.append(f"the variable ${{{found[1]}}} is not known")
            elif not may_have_variables:
                faults.append(f'${{{found[1]}}} is a variable in Version "2012-10-17" only')
            else:
                parts.append(("", key))
                continue
            parts.append(("*", None))  # in a Deny it may be anything
        parts.append((written[place:], None))
        return cls(written, tuple(part for part in parts if part != ("", None)), tuple(faults))

    @cached_property
    def keys(self) -> frozenset[str]:
        """The canonical keys of its variables."""
        return frozenset(key for _, key in self.parts if key)

    @cached_property
    def constant(self) -> str | None:
        """The text, if it has no variables."""
        return None if self.keys else "".join(text for text, _ in self.parts)

    def fill(self, lookup: Lookup) -> "str | Unfilled":
        """Fill the variables in; wildcards in their values are plain characters."""
        if self.constant is not None:
            return self.constant
        filled = []
        for text, key in self.parts:
            if key is None:
                filled.append(text)
                continue
            values = lookup(key)
            if values is None:
                return NOT_KNOWN
            if len(values) != 1 or not fillable(key, values[0]) or STAR in values[0] or QUESTION in values[0]:
                return NO_VALUE
            filled.append(values[0].translate(_LITERAL))
        return "".join(filled)


def matches(pattern: str, text: str) -> bool:
    """Whether a filled-in text with wildcards covers a text."""
    # Most are plain once filled in, and differ from client to client: no expression is worth making of them.
    wild = _WILD.search(pattern)
    if wild is None:
        return pattern == text
    if wild.end() == len(pattern) and wild[0] == "*":
        return text.startswith(pattern[:-1])
    return _expression(pattern).fullmatch(text) is not None


def arn_matches(pattern: str, arn: str) -> bool:
    """Whether a filled-in resource of a policy covers an ARN: part by part, no wildcard runs over a colon.

    A pattern of fewer parts, such as ``arn:aws:iot:*``, is compared with the whole.
    """
    patterns = pattern.split(":", 5)
    if len(patterns) < _ARN_PARTS:
        return matches(pattern, arn)
    return all(map(matches, patterns, arn.split(":", 5)))


def plain(text: str) -> str:
    """Give a filled-in text back its own asterisks and question marks."""
    return text.replace(STAR, "*").replace(QUESTION, "?")


@lru_cache(maxsize=65536)
def _expression(pattern: str) -> re.Pattern[str]:
    parts = re.split(f"([*?{STAR}{QUESTION}])", pattern)
    return re.compile("".join(_WORDS.get(part, re.escape(part)) for part in parts), re.DOTALL)
