"""The documentation's links lead somewhere, and every command that anything names exists."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.cli import app as benchmarks
from testbed.cli import load
from testbed.cli.console import app as commands
from testbed.paths import REPOSITORY

load()

# These know the words of earlier versions.
HISTORY = {"CHANGELOG.md", "uv.lock", "tests/secret_scan.py"}
_TEXT = {
    ".md",
    ".py",
    ".tf",
    ".hcl",
    ".tfvars",
    ".yml",
    ".yaml",
    ".json",
    ".in",
    ".toml",
    ".dot",
    ".js",
    ".html",
    "",
}
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MAKE = re.compile(r"\bmake ((?:[A-Z_]+=\S+ )*)([a-z][a-z0-9-]*)(?: WHAT=([a-z][a-z-]*))?")
_TESTBED = re.compile(r"scripts/testbed (?:--debug )?([a-z][a-z-]*)")
_BENCH = re.compile(r"python -m bench ([a-z][a-z-]*)")


_SETTING = re.compile(r"`([A-Z][A-Z_]+)(?:<name>)?`")


def sources() -> list[Path]:
    """List the repository's files of text that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [
        REPOSITORY / name
        for name in listed
        if name not in HISTORY and Path(name).suffix in _TEXT and (REPOSITORY / name).is_file()
    ]


def commands_of(pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
    """Find ``pattern`` where a command is quoted: in backticks, in a hint, at a line's begin."""
    for path in sources():
        fenced = path.suffix not in {".md", ".py"}
        marks = "`:('\"" if path.suffix in {".md", ".py"} else "`:('\"|;=@"
        for line in path.read_text().splitlines():
            fenced ^= line.startswith("```") and path.suffix == ".md"
            for found in pattern.finditer(line):
                before = line[: found.start()].rstrip()
                if (before[-1] in marks) if before else fenced:
                    yield path, found


def targets() -> set[str]:
    """Read the targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def drills() -> set[str]:
    """Read the drills that scripts/drills knows."""
    return set(re.findall(r"^([a-z-]+)\)", (REPOSITORY / "scripts" / "drills").read_text(), re.MULTILINE))


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = []
    for page in [
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
        *(REPOSITORY / "docs").rglob("*.md"),
    ]:
        for link in _LINK.findall(page.read_text()):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            if not target.exists():
                broken.append(f"{page.name}: {link}")
            elif anchor and anchor not in anchors(target):
                broken.append(f"{page.name}: {link} (no such heading)")
    assert not broken


def anchors(page: Path) -> set[str]:
    """Name the headings of ``page`` as GitHub does: lower case, no punctuation, dashes for spaces."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index() -> None:
    index = (REPOSITORY / "docs" / "README.md").read_text()
    pages = {path.relative_to(REPOSITORY / "docs").as_posix() for path in (REPOSITORY / "docs").glob("*.md")}
    assert not {page for page in pages - {"README.md"} if f"({page})" not in index}


def test_every_make_target_that_is_named_exists() -> None:
    known, benches, named = (
        targets(),
        {each.name for each in benchmarks.registered_commands},
        list(commands_of(_MAKE)),
    )
    assert len(named) > 100
    unknown = {
        f"{path.relative_to(REPOSITORY)}: {found[0]}"
        for path, found in named
        if found[2] not in known
        or (found[2] == "bench" and found[3] and found[3] not in benches)
        or (found[2] == "drills" and found[3] and found[3] not in drills())
    }
    assert not unknown


@pytest.mark.parametrize(
    ("pattern", "app"), [(_TESTBED, commands), (_BENCH, benchmarks)], ids=["testbed", "bench"]
)
def test_every_command_that_is_named_exists(pattern: re.Pattern[str], app: object) -> None:
    known = {each.name for each in (*app.registered_commands, *app.registered_groups)}  # type: ignore[attr-defined]
    named = list(commands_of(pattern))
    assert named
    assert not {
        f"{path.relative_to(REPOSITORY)}: {found[0]}" for path, found in named if found[1] not in known
    }


def test_help_fits_a_screen_and_names_each_target() -> None:
    """A terminal has 24 lines of 80 columns, one of which is the prompt's."""
    said = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    lines = said.splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert not {target for target in targets() if not re.search(rf"\b{target}\b", said)}


def test_the_readme_is_short() -> None:
    assert len((REPOSITORY / "README.md").read_bytes()) <= 6 * 1024


def test_nothing_tells_the_projects_private_history() -> None:
    """A reader knows no evening and no session: say a number, a date, "the baseline design"."""
    private = re.compile(r"\b(the seed's|this evening|(first|second|last|this) session)\b", re.IGNORECASE)
    told = {
        f"{path.relative_to(REPOSITORY)}: {found[0]}"
        for path in sources()
        if path != Path(__file__)
        for found in private.finditer(path.read_text())
    }
    assert not told


def test_make_takes_the_settings_that_are_documented_and_no_other() -> None:
    rows = [
        line for line in (REPOSITORY / "docs" / "setup-guide.md").read_text().splitlines() if "| `" in line
    ]
    settings = {
        f"{name}x" if name.endswith("_") else name for row in rows for name in _SETTING.findall(row[:60])
    }
    assert {"ENGINE", "AWS_REGION", "TF_VAR_x", "ARGS"} <= settings
    make = ["make", "--dry-run", "help"]
    subprocess.run(
        [*make, *(f"{name}=1" for name in settings)], cwd=REPOSITORY, check=True, capture_output=True
    )
    misspelt = subprocess.run(
        [*make, "ENGIN=localstack"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert misspelt.returncode != 0
    assert "There is no setting ENGIN." in misspelt.stderr


def test_what_the_example_of_a_new_field_names_is_where_it_says() -> None:
    """Each name is in one of its row's files."""
    rows = (REPOSITORY / "CONTRIBUTING.md").read_text().partition("## Example")[2].splitlines()
    table = [line.split("|")[1:3] for line in rows if line.startswith("| `")]
    assert len(table) >= 5
    for files, what in table:
        texts = [(REPOSITORY / name).read_text() for name in re.findall("`([^`]+)`", files)]
        for name in re.findall("`([^`]+)`", what):
            last = name.rpartition(".")[2]
            assert (REPOSITORY / "dashboard" / name).is_file() or any(last in text for text in texts), name
