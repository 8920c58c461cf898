"""Terraform: where it is found, which version does, whose variables win, and a connection that is lost."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.deploy import providers, terraform
from testbed.deploy.project import Here, Project, TerraformTable
from testbed.deploy.providers import RegistryProviders
from testbed.errors import TestbedError


def test_with_an_empty_path_nothing_is_installed_and_the_error_says_how_to_install_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TESTBED_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(TestbedError, match="on PATH") as error:
        terraform.find()
    assert "developer.hashicorp.com/terraform/install" in error.value.remedy
    assert "opentofu.org/docs/intro/install" in error.value.remedy
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("there", "found"),
    [(["tofu"], "tofu"), (["terraform"], "terraform"), (["terraform", "tofu"], "terraform")],
)
def test_terraform_is_taken_or_else_opentofu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: list[str], found: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in there:
        (tmp_path / name).touch(mode=0o755)
    assert terraform.find() == str(tmp_path / found)


def test_a_version_below_a_targets_minimum_is_refused_by_name(tmp_path: Path) -> None:
    """S3's own lock needs 1.10: https://developer.hashicorp.com/terraform/language/backend/s3 (use_lockfile)."""
    program = script(tmp_path / "terraform", """echo '{"terraform_version": "1.9.8"}'""")
    terraform.require(program, (1, 5), "this")
    with pytest.raises(TestbedError, match=r"is 1.9.8: the state's lock wants 1.10 or newer"):
        terraform.require(program, (1, 10), "the state's lock")


@pytest.mark.skipif(not shutil.which("terraform"), reason="Terraform is not on PATH")
def test_what_the_environment_sets_wins_over_a_tfvars_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Terraform itself: its order of precedence is what this is about."""
    (tmp_path / "main.tf").write_text(
        'variable "budget" { type = number }\nvariable "waf" { type = bool }\nvariable "region" { type = string }\n'
        'variable "tags" { type = map(string) }\n'
    )
    defaults = 'budget = 50\nwaf = false\nregion = "here"\ntags = {}\n'
    (tmp_path / "terraform.tfvars").write_text(defaults)
    wanted = {
        "budget": "1500",
        "waf": "true",
        "region": "elsewhere",
        "tags": '{ who = "${me}" }'.replace("${me}", "me"),
    }
    for name, value in wanted.items():
        monkeypatch.setenv(f"TF_VAR_{name}", value)
    (tmp_path / "environment.auto.tfvars").write_text(
        terraform.overrides(defaults, os.environ, ours={"region"})
    )
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", os.devnull)
    subprocess.run(["terraform", "init"], cwd=tmp_path, check=True, capture_output=True)
    said = subprocess.run(
        ["terraform", "console"],
        input="jsonencode([var.budget, var.waf, var.region, var.tags])",
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(json.loads(said.stdout)) == [1500, True, "here", {"who": "me"}]


def test_a_misspelt_variable_is_refused_with_its_name_and_another_projects_is_told() -> None:
    declared, said = ["monthly_budget_usd", "alarm_email"], list[str]()
    terraform.check_names({"TF_VAR_alarm_email": "x", "TF_VARIOUS": "x", "PATH": "x"}, declared, said.append)
    assert said == []
    terraform.check_names({"TF_VAR_cloudflare_token": "x"}, declared, said.append)
    assert said == ["TF_VAR_cloudflare_token is of no variable here, and does nothing."]
    with pytest.raises(TestbedError, match="TF_VAR_montly_budget_usd") as error:
        terraform.check_names({"TF_VAR_montly_budget_usd": "50"}, declared, said.append)
    assert "TF_VAR_monthly_budget_usd" in error.value.remedy


LOST = """
if [ "$1" = output ]; then echo '{}'; exit; fi
if [ "$1" != apply ] || [ -e applied ]; then echo "$@" > "$1"; exit; fi
touch applied
echo "Error: creating SQS Queue: decomposing response body: read tcp: use of closed network connection"
exit 1
"""


def test_an_apply_that_loses_its_connection_is_tried_once_more_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen with hashicorp/aws 5.46 in five of nine applies."""
    said: list[str] = []
    workspace = workspace_of(script(tmp_path / "terraform", LOST), tmp_path, monkeypatch, said)
    workspace.apply(planned=True)
    assert len(said) == 1
    assert "use of closed network connection" in said[0]
    assert "once more" in said[0]
    assert "-auto-approve" in (tmp_path / "work" / "apply").read_text()


def test_an_apply_that_fails_for_another_reason_or_twice_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for refusal, tries in (("AccessDenied", 1), ("connection reset by peer", 2)):
        program = script(
            tmp_path / "terraform", f'echo tried >> tries\necho "Error: creating Queue: {refusal}"\nexit 1'
        )
        workspace = workspace_of(program, tmp_path, monkeypatch, [])
        (workspace.folder / "tries").unlink(missing_ok=True)
        with pytest.raises(TestbedError, match=f"terraform apply failed: creating Queue: {refusal}"):
            workspace.apply()
        assert len((workspace.folder / "tries").read_text().splitlines()) == tries


def test_a_users_lock_of_providers_is_carried_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("main.tf", ".terraform.lock.hcl"):
        (source / name).write_text(f"# {name}\n")
    monkeypatch.setattr(
        providers, "project", lambda: Here(source, Project(name="x", terraform=TerraformTable(folder=".")))
    )
    workspace = workspace_of(script(tmp_path / "terraform", "exit 0"), tmp_path, monkeypatch, [])
    workspace.prepare()
    assert (workspace.folder / ".terraform.lock.hcl").read_text() == "# .terraform.lock.hcl\n"


def script(path: Path, body: str) -> str:
    """Write a program that stands in for Terraform, since no network here loses connections to order."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def workspace_of(
    program: str, folder: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> terraform.Workspace:
    monkeypatch.setattr(terraform, "find", lambda: program)
    work = folder / "work"
    work.mkdir(exist_ok=True)
    cloud = terraform.Cloud("eu-central-1")
    variables = {"lambda_package_dir": str(folder)}
    return terraform.Workspace(work, cloud, variables, providers=RegistryProviders(), say=said.append)


def test_terraforms_error_is_told_with_its_place() -> None:
    said = (
        'Error: Reference to undeclared resource\n\n  on main.tf line 3, in output "u":\n   3:   value = 1\n'
    )
    found = terraform._ERROR.search(said)
    assert found
    assert found.groups() == ("Reference to undeclared resource", 'on main.tf line 3, in output "u"')
