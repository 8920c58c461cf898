"""Functions stay short enough to be read at once."""

import ast

from testbed.paths import REPOSITORY

MOST_LINES = 60
FOLDERS = ("bench", "bridge", "functions", "simulator", "testbed")
# Their options, one or two lines each, are the command line.
COMMANDS = {
    "bridge/runtime/__main__.py main",
    "bridge/broker/__main__.py main",
    "bridge/data_plane/__main__.py main",
    "simulator/cli.py simulate",
}


def long_functions() -> set[str]:
    """Find the functions of the product that have more lines, by file and name."""
    return {
        f"{path.relative_to(REPOSITORY)} {node.name}"
        for folder in FOLDERS
        for path in (REPOSITORY / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES
    }


def test_no_function_but_a_command_has_more_than_sixty_lines() -> None:
    assert not long_functions() - COMMANDS


def test_the_exceptions_are_still_needed() -> None:
    assert long_functions() >= COMMANDS
