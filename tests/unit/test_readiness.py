"""docs/aws-readiness.md names tests: each is there, under that name."""

import re
from pathlib import Path

import pytest

from testbed.paths import REPOSITORY

PAGE = (REPOSITORY / "docs" / "aws-readiness.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in PAGE.partition("\n\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| what was found")
]


def named(cell: str) -> list[tuple[Path, list[str]]]:
    """Return the files that a cell names, each with the tests that it quotes behind it."""
    found = []
    for part in re.split(r"(?=`[\w/.-]+\.(?:py|hcl)`)", cell):
        file = re.match(r"`([\w/.-]+)`", part)
        if file:
            paths = list(REPOSITORY.glob(file[1])) or [
                path for root in ("tests", "terraform/tests") for path in (REPOSITORY / root).rglob(file[1])
            ]
            assert len(paths) == 1, f"{file[1]}: {paths}"
            found.append((paths[0], re.findall(r'"([^"]+)"', part)))
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:50])
def test_each_mend_names_a_test_that_there_is(row: list[str]) -> None:
    assert len(row) == 3, row
    tests = named(row[2])
    assert tests or re.search(r"the same|`terraform test`|`make rehearse`", row[2])
    for path, sentences in tests:
        for sentence in sentences:
            begins = re.sub(r"\W+", "_", sentence.removesuffix("...").strip()).lower()
            assert f"def test_{begins}" in path.read_text(), sentence


def test_the_page_has_the_issues_table() -> None:
    assert len(ROWS) >= 25
