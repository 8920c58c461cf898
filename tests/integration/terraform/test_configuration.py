"""`terraform test`: the rules of the variables, the switches, names and tags, by plans with a mocked provider.

`make drills WHAT=terraform` runs it and shows what Terraform says.
"""

import re
import subprocess
from pathlib import Path

import pytest

from testbed.deploy import providers, terraform
from testbed.deploy.project import project
from testbed.deploy.terraform import Cloud, Workspace
from testbed.paths import DASHBOARD, TERRAFORM

TESTS = TERRAFORM / "tests"


def test_each_rule_of_a_variable_has_a_value_that_it_refuses() -> None:
    ruled = {
        name
        for name, body in re.findall(
            r'^variable "(\w+)" \{(.*?)^\}',
            (TERRAFORM / "variables.tf").read_text(),
            re.MULTILINE | re.DOTALL,
        )
        if "validation {" in body
    }
    text = (TESTS / "validation.tftest.hcl").read_text()
    assert set(re.findall(r"^    var\.(\w+),", text, re.MULTILINE)) == ruled


def test_terraform_test(tmp_path: Path) -> None:
    program = terraform.find()
    version = re.search(r"v(\d+)\.(\d+)", subprocess.check_output([program, "version"], text=True))
    assert version
    if (int(version[1]), int(version[2])) < (1, 7):
        pytest.skip("mocked providers came with Terraform 1.7")
    for name in project().described.functions:
        (tmp_path / f"{name}.zip").write_bytes(b"a plan hashes it, and nothing runs it")
    workspace = Workspace(
        tmp_path / "work",
        Cloud("eu-central-1"),
        {"lambda_package_dir": str(tmp_path), "dashboard_dir": str(DASHBOARD)},
        providers=providers.choose(not terraform.registry_answers()),
    )
    workspace.prepare()
    said = workspace.test()
    print(said)
    ran = re.search(r"(\d+) passed, 0 failed", said)
    assert ran
    assert int(ran[1]) == sum(file.read_text().count("\nrun ") for file in TESTS.glob("*.tftest.hcl"))
