"""Java regular expressions, as AWS IoT SQL has them, on Python's `re`."""

from __future__ import annotations

import re
from functools import lru_cache

_CLASSES = {
    "Lower": "a-z",
    "Upper": "A-Z",
    "Alpha": "a-zA-Z",
    "Digit": "0-9",
    "Alnum": "a-zA-Z0-9",
    "XDigit": "0-9a-fA-F",
    "Punct": r"!-/:-@\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": r" \t",
    "Space": r"\s",
    "ASCII": r"\x00-\x7f",
    "Cntrl": r"\x00-\x1f\x7f",
}
_TRANSLATED = re.compile(
    r"\\Q(?P<quoted>.*?)(?:\\E|$)|\\p\{(?:Is)?(?P<property>\w+)\}|\\(?P<escape>.)|\(\?<(?P<name>[A-Za-z]\w*)>"
    r"|(?P<bracket>\[\^?\]?|\])",
    re.DOTALL,
)


def _python(pattern: str) -> str:
    inside = False

    def swap(found: re.Match[str]) -> str:
        nonlocal inside
        if found["quoted"] is not None:
            return re.escape(found["quoted"])
        if found["property"]:
            members = _CLASSES[found["property"]]  # KeyError: a class that Java knows and we do not
            return members if inside else f"[{members}]"
        if found["name"]:
            return found[0] if inside else f"(?P<{found['name']}>"
        if found["bracket"]:
            if found[0].startswith("["):
                if inside:
                    return "\\" + found[0]
                inside = True
            else:
                inside = False
            return found[0]
        return {"z": r"\Z", "Z": r"(?=\n?\Z)", "h": r"[ \t]"}.get(found["escape"], found[0])

    return _TRANSLATED.sub(swap, pattern)


@lru_cache(maxsize=512)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """Return the pattern, or None where it is not a regular expression (or holds a construct of Java's that `re`
    lacks).
    """
    try:
        return re.compile(_python(pattern), re.ASCII)
    except (re.error, KeyError, OverflowError, RecursionError):
        return None


@lru_cache(maxsize=512)
def replacement(text: str, groups: int, names: frozenset[str]) -> tuple[str | int, ...] | None:
    """Java's replacement string as literal parts and group references (int or `${name}`); None where it is
    not valid.
    """
    parts: list[str | int] = []
    place = 0
    while place < len(text):
        sign = text[place]
        if sign == "\\":
            if place + 1 == len(text):
                return None
            parts.append(text[place + 1])
            place += 2
        elif sign == "$":
            named = re.compile(r"\$\{([A-Za-z][A-Za-z0-9]*)\}").match(text, place)
            numbered = re.compile(r"\$([0-9])").match(text, place)
            if named and named[1] in names:
                parts.append(f"\0{named[1]}")
                place = named.end()
            elif numbered and int(numbered[1]) <= groups:
                group, place = int(numbered[1]), numbered.end()
                # as Java: further digits belong to the reference while such a group exists
                while (
                    place < len(text)
                    and text[place] in "0123456789"
                    and group * 10 + int(text[place]) <= groups
                ):
                    group, place = group * 10 + int(text[place]), place + 1
                parts.append(group)
            else:
                return None
        else:
            parts.append(sign)
            place += 1
    return tuple(parts)


def expand(parts: tuple[str | int, ...], found: re.Match[str]) -> str:
    """Return what the replacement string makes of a match; a group that took no part is empty."""
    out = []
    for part in parts:
        if isinstance(part, int):
            out.append(found[part] or "")
        elif part.startswith("\0") and len(part) > 1:
            out.append(found[part[1:]] or "")
        else:
            out.append(part)
    return "".join(out)
