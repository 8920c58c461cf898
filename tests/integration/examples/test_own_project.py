"""The wheel in an empty environment is all that a project of somebody else's needs, a new one and an example's copy."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.paths import REPOSITORY, state_root

EXAMPLE = REPOSITORY / "examples" / "cold-chain"


def _uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments, "--quiet"], check=True)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel where nothing else is, and return the folder of its commands."""
    folder = tmp_path_factory.mktemp("wheel")
    _uv("build", "--wheel", str(REPOSITORY), "--out-dir", str(folder))
    [wheel] = folder.glob("*.whl")
    _uv("venv", str(folder / "venv"))
    _uv("pip", "install", "--python", str(folder / "venv" / "bin" / "python"), str(wheel), "pytest")
    return folder / "venv" / "bin"


def test_the_cold_chain_passes_its_tests_from_a_copy(programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cold-chain"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".testbed", "__pycache__"))
    shutil.copy(Path(__file__).with_name("commands.txt"), folder / "tests" / "test_commands.py")
    assert "23 passed" in outcome_of_tests(programs, folder)


def test_a_new_project_goes_up_and_passes_its_test(programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my-devices"
    run(programs / "testbed", "init", str(folder), folder=tmp_path)
    assert len(files(folder)) == 4
    assert "1 passed" in outcome_of_tests(programs, folder)
    # What is there is left as it is.
    refused = subprocess.run(
        [programs / "testbed", "init"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "nothing was written" in refused.stderr


def test_its_description_has_at_most_twenty_lines() -> None:
    assert len((EXAMPLE / "testbed.toml").read_text().splitlines()) <= 20


def outcome_of_tests(programs: Path, folder: Path) -> str:
    """Run a project's tests, which bring it up and take it down again, and give what they said."""
    before = files(folder)
    # What is installed is shared; what is deployed is not.
    state = folder / ".testbed"
    state.mkdir()
    for shared in ("venvs", "airgap"):
        (state_root() / shared).mkdir(parents=True, exist_ok=True)
        (state / shared).symlink_to(state_root() / shared)
    said = run(programs / "pytest", "-q", "-p", "no:cacheprovider", folder=folder)
    assert not list((state / "deployments").iterdir()), "the run took down what it had brought up"
    assert files(folder) == before, "nothing is written beside the state"
    return said


def run(*command: str | Path, folder: Path) -> str:
    """Run a command as somebody would who has no file of this repository."""
    ours = (
        "TESTBED_HOME",
        "PYTHONPATH",
        # Or each of ten processes compiles boto3 anew.
        "PYTHONDONTWRITEBYTECODE",
        "PYTEST_ADDOPTS",
        "TARGET",
        "ENFORCE_IAM",
    )
    environment = {name: value for name, value in os.environ.items() if name not in ours} | {
        "DEPLOYMENT": "own",
        "ENGINE": "embedded",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files(folder: Path) -> set[str]:
    """List the files of a project, its state and Python's bytecode left out."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if not {".testbed", "__pycache__"} & set(path.parts) and path.is_file()
    }
