"""The workflows: what they run is what somebody looked at, and what fails is red."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from testbed.paths import REPOSITORY

WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))

# What GitHub runs for `shell: bash`, and for no shell at all ("Workflow syntax for GitHub Actions", shell).
BASH = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]
UNNAMED = ["bash", "-e"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_each_action_is_pinned_by_a_commit_with_its_version_beside_it(path: Path) -> None:
    """A tag can be moved: "Security hardening for GitHub Actions", using third-party actions."""
    for used in re.findall(r"uses: (\S+.*)", path.read_text()):
        assert used.startswith("./") or re.fullmatch(
            r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used
        ), used


def test_a_plan_that_fails_is_red(tmp_path: Path) -> None:
    text = (REPOSITORY / ".github" / "workflows" / "stage.yml").read_text()
    shell = BASH if re.search(r"^ +shell: bash$", text, re.MULTILINE) else UNNAMED
    [script] = re.findall(r"name: Plan\n.*?run: \|\n(.*?)(?=\n      - )", text, re.DOTALL)
    (tmp_path / "make").write_text("#!/bin/sh\necho it fails\nexit 1\n")
    (tmp_path / "make").chmod(0o755)
    (tmp_path / "script").write_text(script)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    done = subprocess.run(
        [*shell, "script"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "it fails" in done.stdout
    assert done.returncode != 0
