"""The command line: an error is one line with its remedy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from testbed import cli
from testbed.__main__ import run
from testbed.cli import console
from testbed.deploy.deployment import Deployment
from testbed.paths import REPOSITORY
from tests.outputs import outputs

# Every message that a user may meet first, and a word of its remedy.
CASES = [
    ({"TARGET": "moon"}, ["status"], "TARGET=moon is unknown", "TARGET=local"),
    ({"ENGINE": "steam"}, ["up"], "ENGINE=steam is unknown", "ENGINE=embedded"),
    ({"AWS_PORT": "99999"}, ["up"], "AWS_PORT=99999 is not a port", "65535"),
    ({}, ["status"], "Nothing is up", "make up"),
    ({}, ["audit"], "Nothing is up", "make up"),
    ({}, ["simulate"], "Nothing is up", "make up"),
    ({"TARGET": "aws"}, ["up"], "No usable AWS credentials", "aws configure"),
    (
        {"AWS_PORT": "5566", "MQTT_PORT": "5566"},
        ["up"],
        "AWS_PORT and MQTT_PORT are both 5566",
        "MQTT_PORT=5567",
    ),
    ({"AWS_PORT": "9464"}, ["up"], "AWS_PORT and METRICS_PORT are both 9464", "METRICS_PORT=9465"),
    ({"DEPLOYMENT": "a3"}, ["status"], "Nothing is up", "make up DEPLOYMENT=a3"),
    ({}, ["plan"], "the target is local", "TARGET=aws scripts/testbed plan"),
    ({}, ["leftovers"], "the target is local", "TARGET=aws scripts/testbed leftovers"),
]


def _clean() -> dict[str, str]:
    """Return what tells a command nothing: no setting is given."""
    settings = (
        "TARGET",
        "ENGINE",
        "DEPLOYMENT",
        "PROJECT",
        "ENVIRONMENT",
        "AWS_",
        "MQTT_PORT",
        "METRICS_PORT",
    )
    return {name: value for name, value in os.environ.items() if not name.startswith(settings)}


def _environment(home: Path, given: dict[str, str]) -> dict[str, str]:
    """Return what a command of a user without an account has, and ``given``."""
    nowhere = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return nowhere | {"TESTBED_HOME": str(home), "NO_COLOR": "1"} | given


def command(arguments: list[str], home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "testbed", *arguments],
        cwd=REPOSITORY,
        env=_clean() | _environment(home, environment),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("environment", "arguments", "problem", "remedy"), CASES)
def test_an_error_is_one_line_with_its_remedy(
    environment: dict[str, str],
    arguments: list[str],
    problem: str,
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in os.environ if name not in _clean()]:
        monkeypatch.delenv(name)
    for name, value in _environment(tmp_path, environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        console, "clean_up_when_terminated", lambda: None
    )  # this process is not the command's own
    monkeypatch.setattr(sys, "argv", ["testbed", *arguments])
    with pytest.raises(SystemExit) as ended:
        run()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert problem in said
    assert remedy in said
    assert len(said.strip().splitlines()) <= 2


@pytest.mark.parametrize("name", ["simulate", "cost"])
@pytest.mark.parametrize("setting", ["STATIONS", "INTERVAL"])
def test_a_wrong_setting_of_make_is_called_by_its_name(name: str, setting: str) -> None:
    cli.load(name)
    done = CliRunner().invoke(console.app, [name], env={setting: "-x"})
    assert done.exit_code == 2
    assert f"(env var: '{setting}')" in done.output


def test_each_command_is_loaded_from_its_own_module() -> None:
    """It imports no other's: `testbed.cli.COMMANDS` is how a command is found, and says which there are."""
    cli.load()
    where = {command.name: command.callback for command in console.app.registered_commands}
    where |= {
        group.name: group.typer_instance.registered_callback.callback
        for group in console.app.registered_groups
    }
    assert {name: getattr(function, "__module__", "") for name, function in where.items()} == {
        name: f"testbed.cli.{module}" for module, names in cli.COMMANDS.items() for name in names
    }


def test_debug_alone_shows_where_an_error_came_from(tmp_path: Path) -> None:
    plain, debug = (command([*options, "status"], tmp_path) for options in ([], ["--debug"]))
    assert (plain.returncode, debug.returncode) == (1, 1)
    assert "Traceback" not in plain.stderr
    assert "Traceback" in debug.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["simulate", "--help"]])
def test_debug_is_in_every_help(arguments: list[str], tmp_path: Path) -> None:
    assert "--debug" in command(arguments, tmp_path).stdout


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    def completed(*words: str) -> list[str]:
        line = " ".join(["scripts/testbed", *words])
        asked = {"_TESTBED_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
        return command([], tmp_path, **asked).stdout.split()

    assert completed("red") == ["redrive"]
    assert "--follow" in completed("logs", "--f")


def test_what_a_program_reads_is_json_alone(tmp_path: Path) -> None:
    found = json.loads(command(["cost", "--json", "--stations", "10"], tmp_path).stdout)
    assert found["workload"]["stations"] == 10
    assert found["usd_a_million_messages"]["this design"][0]["usd_a_million"] > 0


def test_down_is_harmless_where_nothing_is_up(tmp_path: Path) -> None:
    done = command(["down"], tmp_path)
    assert done.returncode == 0
    assert "Nothing is up" in done.stdout


def test_an_engine_that_died_is_named(tmp_path: Path) -> None:
    """`make status` after a crash says what is gone and how to get it back."""
    folder = tmp_path / "deployments" / "local-embedded-default"
    folder.mkdir(parents=True)
    dead = {"kind": "process", "name": "ministack", "pid": 2**22 - 1, "started_at": 1.0, "log": "x"}
    deployment = {
        "target": "local",
        "engine": "embedded",
        "name": "default",
        "region": "eu-central-1",
        "environment": "dev",
        "folder": str(folder),
        "air_gapped": True,
        "fingerprint": "f",
        "processes": {"ministack": dead},
        "ports": {"aws": 1, "mqtt": 2, "metrics": 3},
    }
    (folder / "deployment.json").write_text(json.dumps(deployment))
    done = command(["status"], tmp_path)
    assert done.returncode == 1
    assert "ministack died since `make up`" in done.stderr
    assert "make up" in done.stderr


def test_the_dashboard_of_cloudfront_is_named_and_nothing_is_served(tmp_path: Path) -> None:
    Deployment(
        target="aws",
        engine_name=None,
        name="default",
        region="eu-central-1",
        environment="dev",
        air_gapped=False,
        folder=str(tmp_path / "deployments" / "aws-eu-central-1-ev-swap-dev"),
        fingerprint="applied",
        applied=outputs(dashboard_url="https://d1234.cloudfront.net"),
    ).save()
    done = command(["dashboard"], tmp_path, TARGET="aws")
    assert done.returncode == 0, done.stderr
    assert "https://d1234.cloudfront.net/" in done.stdout
    assert "api-key" in done.stdout


def test_the_dashboard_from_here_wants_an_api_that_offers_a_url(tmp_path: Path) -> None:
    deployment = Deployment(
        target="aws",
        engine_name=None,
        name="default",
        region="eu-central-1",
        environment="dev",
        air_gapped=False,
        folder=str(tmp_path / "deployments" / "aws-eu-central-1-ev-swap-dev"),
        fingerprint="applied",
        applied=outputs(),
        api_url="http://127.0.0.1:9",
    )
    deployment.save()
    deployment.keep_api_key("a key")
    done = command(["dashboard"], tmp_path, TARGET="aws")
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr
