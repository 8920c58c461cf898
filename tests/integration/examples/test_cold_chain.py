"""A project of somebody else's goes up and passes its own tests, outside of this repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from testbed.paths import REPOSITORY, state_root

EXAMPLE = REPOSITORY / "examples" / "cold-chain"


def test_the_cold_chain_goes_up_and_passes_its_tests_from_a_copy(tmp_path: Path) -> None:
    folder = tmp_path / "cold-chain"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".testbed", "__pycache__"))
    before = files(folder)
    # What is installed is shared; what is deployed is not.
    state = folder / ".testbed"
    state.mkdir()
    for shared in ("venvs", "airgap"):
        (state_root() / shared).mkdir(parents=True, exist_ok=True)
        (state / shared).symlink_to(state_root() / shared)
    environment = {name: value for name, value in os.environ.items() if name != "TESTBED_HOME"} | {
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",
        "DEPLOYMENT": "cold-chain",
        "ENGINE": "embedded",
        "PYTEST_ADDOPTS": "",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "testbed.plugin", "-p", "no:cacheprovider", "tests"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert not list((state / "deployments").iterdir()), "the run took down what it had brought up"
    assert files(folder) == before, "nothing is written beside the state"


def test_its_description_has_at_most_twenty_lines() -> None:
    assert len((EXAMPLE / "testbed.toml").read_text().splitlines()) <= 20


def files(folder: Path) -> set[str]:
    """List the files of a project, its state left out."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if ".testbed" not in path.parts and path.is_file()
    }
