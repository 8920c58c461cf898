"""docs/tutorial.md does what it says: its blocks are run as printed, in a copy of the sources.

In the suite they run against the deployment of the other tests, so `make down` is left to those;
`make drills WHAT=tutorial` runs all of it from nothing.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from testbed.deploy.deployment import Deployment
from testbed.paths import REPOSITORY, state_root
from tests.sources import copy_to

BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
SECONDS = 500


def blocks() -> list[tuple[str, list[str]]]:
    """Read the tutorial's commands, each with the lines that it promises."""
    text = (REPOSITORY / "docs" / "tutorial.md").read_text()
    return [(commands, promised.splitlines()) for commands, promised in BLOCK.findall(text)]


def keeps(promised: str, said: str) -> bool:
    """Tell whether a line of what was said is the promised one; ``...`` is anything."""
    pattern = ".*".join(re.escape(part) for part in promised.split("..."))
    return any(re.fullmatch(pattern, line.rstrip()) for line in said.splitlines())


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Provide what the shell of somebody who follows the tutorial has."""
    if os.environ.get("TUTORIAL") == "alone":
        alone = {"DEPLOYMENT": "tutorial"}
        yield alone
        subprocess.run([REPOSITORY / "scripts" / "testbed", "down"], env=os.environ | alone, check=True)
        return
    deployment: Deployment = request.getfixturevalue("deployment")
    if deployment.target == "aws":
        pytest.skip("the tutorial is of a local deployment")
    yield {"DEPLOYMENT": deployment.name, "ENGINE": deployment.cloud_name}


@pytest.mark.timeout(SECONDS + 60)
def test_the_tutorial_runs_as_printed(environment: dict[str, str], tmp_path: Path) -> None:
    copy_to(tmp_path)
    (tmp_path / ".venv").symlink_to(REPOSITORY / ".venv")
    for command in (
        "git init --quiet",
        "git add .",
        "git -c user.name=t -c user.email=t@example.com commit -qm .",
    ):
        subprocess.run(command.split(), cwd=tmp_path, check=True)
    steps = blocks()
    assert len(steps) > 8
    assert steps[-1][0] == "make down\n"
    if "ENGINE" in environment:
        steps.pop()
    script = "".join(
        f"printf '\\n@@ block %d\\n' {number}\n{commands}" for number, (commands, _) in enumerate(steps)
    )
    said = _shell(script, tmp_path, environment)
    print(said)
    printed = re.split(r"\n@@ block \d+\n", said)[1:]
    assert len(printed) == len(steps)
    for (commands, promised), text in zip(steps, printed, strict=True):
        missing = [line for line in promised if not keeps(line, text)]
        assert not missing, f"{commands}\nprinted\n{text}\nand not\n" + "\n".join(missing)


def _shell(script: str, folder: Path, environment: dict[str, str]) -> str:
    """Run ``script`` to its end; all that it printed. What it left running is stopped."""
    # Not those of the make that may have started us, nor what it was told for pytest.
    makes = ("MAKEFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "MFLAGS", "ARGS")
    ours = {name: value for name, value in os.environ.items() if name not in makes}
    with subprocess.Popen(
        ["bash", "-eu", "-c", script],
        cwd=folder,
        env=ours | environment | {"TESTBED_HOME": str(state_root())},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            said, _ = shell.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired as late:
            pytest.fail(f"not at its end after {SECONDS} s:\n{(late.output or b'').decode()}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGTERM)
    assert shell.returncode == 0, said
    return said
