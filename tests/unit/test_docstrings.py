"""Docstrings are sentences that say what a thing does, for a reader whose second language is English.

Ruff's D401 holds that a function's begins with a verb in the imperative; this holds the rest.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from testbed.paths import REPOSITORY

# bridge and bench are being rewritten.
FOLDERS = ("bench", "bridge", "functions", "simulator", "testbed", "tests")
# "Of all that ...", "As the table has it": a fragment that only its author can read.
_FRAGMENTS = {"Of", "As", "In"}


def docstrings() -> Iterator[tuple[Path, int, str]]:
    """Yield each docstring with its file and the line of what it is about."""
    for folder in FOLDERS:
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    text = ast.get_docstring(node)
                    if text:
                        yield path.relative_to(REPOSITORY), getattr(node, "lineno", 1), text


def test_no_docstring_begins_with_a_fragment() -> None:
    found = list(docstrings())
    assert len(found) > 100
    fragments = [
        f"{path}:{line}: {text.splitlines()[0]}"
        for path, line, text in found
        if text.split()[0] in _FRAGMENTS
    ]
    assert not fragments, "\n".join(fragments)


def test_every_docstring_ends_its_first_line_as_a_sentence() -> None:
    """Or with a colon, where a list follows."""
    torn = [
        f"{path}:{line}: {text.splitlines()[0]}"
        for path, line, text in docstrings()
        if not text.split("\n\n")[0].rstrip().endswith((".", ":", "?", "!", "``"))
    ]
    assert not torn, "\n".join(torn)
