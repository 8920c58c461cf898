"""The workflows: what they run is what somebody looked at, and what fails is red."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.deploy import settings
from testbed.paths import REPOSITORY

ACTION = REPOSITORY / "action.yml"
EXAMPLES = sorted(REPOSITORY.glob("examples/*/.github/workflows/*.yml"))
WORKFLOWS = [*sorted((REPOSITORY / ".github" / "workflows").glob("*.yml")), *EXAMPLES, ACTION]

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


def test_the_examples_workflows_pass_actionlint_as_ours_do() -> None:
    assert EXAMPLES
    done = subprocess.run(
        [REPOSITORY / ".venv" / "bin" / "actionlint", *EXAMPLES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def the_action() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(ACTION.read_text())
    return found


def test_the_action_has_the_keys_of_a_composite_action_and_no_others() -> None:
    """ "Metadata syntax reference" of GitHub Actions: name, description and runs; each run step names its shell."""
    action = the_action()
    assert set(action) == {"name", "description", "inputs", "outputs", "runs"}
    assert set(action["runs"]) == {"using", "steps"}
    assert action["runs"]["using"] == "composite"
    assert all("description" in each for each in (*action["inputs"].values(), *action["outputs"].values()))
    for step in action["runs"]["steps"]:
        assert ("run" in step) == ("shell" in step) != ("uses" in step)


def test_the_actions_steps_and_outputs_pass_actionlint(tmp_path: Path) -> None:
    """It lints workflows alone, so the steps are put into one that takes the action's inputs."""
    action = the_action()
    job = {"runs-on": "ubuntu-24.04", "steps": action["runs"]["steps"]}
    job["outputs"] = {name: each["value"] for name, each in action["outputs"].items()}
    inputs = {name: each | {"type": "string"} for name, each in action["inputs"].items()}
    workflow = tmp_path / "workflow.yml"
    workflow.write_text(
        json.dumps({"on": {"workflow_dispatch": {"inputs": inputs}}, "jobs": {"testbed": job}})
    )
    done = subprocess.run(
        [REPOSITORY / ".venv" / "bin" / "actionlint", workflow], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def run_the_action(folder: Path, up: str) -> subprocess.CompletedProcess[str]:
    """Run the action's step with a `testbed` of ours that does ``up`` and has a status."""
    (folder / "scripts").mkdir()
    status = {
        "aws_url": "http://127.0.0.1:1",
        "region": "eu-central-1",
        "mqtt": {"host": "localhost", "port": 2},
    }
    testbed = folder / "scripts" / "testbed"
    testbed.write_text(f"#!/bin/sh\n[ $1 = status ] || {up}\necho '{json.dumps(status, indent=1)}'\n")
    testbed.chmod(0o755)
    (folder / ".venv").symlink_to(REPOSITORY / ".venv")
    [step] = [step for step in the_action()["runs"]["steps"] if step.get("id") == "up"]
    (folder / "script").write_text(step["run"])
    files = {name: str(folder / name) for name in ("GITHUB_OUTPUT", "GITHUB_ENV")}
    variables = os.environ | files | {"ACTION": str(folder), "ENGINE": "embedded", "TARGET": "local"}
    return subprocess.run(
        [*BASH, "script"], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def test_the_action_tells_later_steps_where_the_cloud_is(tmp_path: Path) -> None:
    done = run_the_action(tmp_path, "exit 0")
    assert done.returncode == 0, done.stderr
    outputs = dict(line.split("=", 1) for line in (tmp_path / "GITHUB_OUTPUT").read_text().splitlines())
    assert set(outputs) == set(the_action()["outputs"])
    assert outputs["mqtt"] == "localhost:2"
    assert json.loads(outputs["status"])["region"] == "eu-central-1"
    variables = (tmp_path / "GITHUB_ENV").read_text().splitlines()
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:1" in variables
    assert "ENGINE=embedded" in variables


def test_an_action_whose_testbed_does_not_come_up_is_red(tmp_path: Path) -> None:
    assert run_the_action(tmp_path, "exit 1").returncode != 0
    assert not (tmp_path / "GITHUB_ENV").exists()


def test_the_dev_container_forwards_the_default_ports_and_runs_commands_that_there_are() -> None:
    """Keys are those of the "Dev Container Metadata Reference" (containers.dev), whose schema refuses others."""
    container = json.loads((REPOSITORY / ".devcontainer" / "devcontainer.json").read_text())
    known = {"name", "image", "features", "init", "hostRequirements", "containerEnv"}
    known |= {"forwardPorts", "portsAttributes", "onCreateCommand", "postStartCommand"}
    assert set(container) <= known
    ports = [settings.AWS_PORT, settings.MQTT_PORT, settings.METRICS_PORT]
    assert container["forwardPorts"] == ports
    assert {*container["portsAttributes"]} == {*map(str, ports)}
    assert (REPOSITORY / container["onCreateCommand"]).is_file()
    make, target = container["postStartCommand"].split()
    assert make == "make"
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
