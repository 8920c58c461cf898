"""What a project file says, and how what is wrong in it is told."""

import re
import zipfile
from pathlib import Path

import pytest

from testbed import paths
from testbed.deploy import packaging, providers
from testbed.deploy.outputs import Outputs
from testbed.deploy.project import DevicesTable, FunctionTable, Project, TerraformTable, project
from testbed.engines.base import Runtime
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY

GOOD = """
name = "cold-chain"
[terraform]
local = { packages = "{packages}/x", region = "{region}", limit = 2 }
unset = ["nothing"]
[devices]
name = "truck-{number}"
topic = "trucks/{device}/state"
policy = "thing_policy"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a project and work in a folder of it."""
    home = tmp_path / "home"
    tmp_path = tmp_path / "project"
    tmp_path.mkdir()
    (tmp_path / "terraform").mkdir()
    (tmp_path / "terraform" / "main.tf").write_text(
        'output "thing_policy" { value = "x" }\nvariable "region" {}\n'
    )
    (tmp_path / "testbed.toml").write_text(GOOD)
    below = tmp_path / "some" / "folder"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    monkeypatch.setenv("TESTBED_HOME", str(home))
    return tmp_path


def test_the_nearest_project_upward_is_meant_and_keeps_its_own_state(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TESTBED_HOME")
    here = project()
    assert here.folder == folder
    assert here.declared("variable") == {"region"}
    assert paths.state_root() == folder / ".testbed"


def test_a_table_of_pyproject_describes_a_project_as_well(folder: Path) -> None:
    (folder / "testbed.toml").unlink()
    (folder / "some" / "pyproject.toml").write_text('[project]\nname = "another"\n')
    text = re.sub(r"^\[", "[tool.testbed.", GOOD, flags=re.MULTILINE)
    (folder / "pyproject.toml").write_text(f"[tool.testbed]\n{text}")
    here = project()
    assert (here.folder, here.described.name) == (folder, "cold-chain")
    assert here.described.devices.topic == "trucks/{device}/state"


def test_without_a_project_the_way_to_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TestbedError, match=r"There is no testbed\.toml") as refused:
        paths.project_folder()
    assert "testbed init" in refused.value.remedy


@pytest.mark.usefixtures("folder")
def test_placeholders_are_filled_and_devices_have_their_topic() -> None:
    here = project()
    assert here.local_variables({"packages": "/p", "region": "r"}) == {
        "packages": "/p/x", "region": "r", "limit": 2, "nothing": None,
    }  # fmt: skip
    assert here.device_topic("truck-01", "") == "trucks/truck-01/state"
    assert here.device_prefix == "truck-"


def test_aws_has_variables_of_its_own_and_its_region_is_not_the_local_one(folder: Path) -> None:
    described = GOOD.replace(
        "[devices]", '[terraform.aws]\nregion = "us-west-2"\nzips = "{packages}"\n[devices]'
    )
    (folder / "testbed.toml").write_text(described)
    (folder / "terraform" / "provider.tf").write_text('provider "aws" {\n  region = var.region\n}\n')
    assert project().aws_variables({"packages": "/p"}) == {"region": "us-west-2", "zips": "/p"}
    assert (project().region("aws"), project().region()) == ("us-west-2", "")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('name = "cold-chain"', 'name = "Cold Chain"', "name = 'Cold Chain' is not"),
        ('name = "cold-chain"', "", "required field `name`"),
        ("unset =", "unsett =", "unknown field `unsett` in terraform"),
        ("limit = 2 }", "limit = }", "line 4"),
        ('topic = "trucks/{device}/state"', "topic = 3", "Expected `str`, got `int` in devices.topic"),
        ('"thing_policy"', '"thing"', "names the Terraform output 'thing'"),
        ("[devices]", '[functions.f]\nsource = "nowhere"\n[devices]', "functions.f.source = 'nowhere' is not a folder"),
        ("[devices]", "[functions.f]\n[devices]", "functions.f wants either source"),
        ("unset =", 'folder = "tf"\nunset =', "terraform.folder = 'tf' has no .tf file"),
        ("unset =", 'folder = "../tf"\nunset =', "is not inside the project's folder"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_a_line_with_its_key(
    folder: Path, right: str, wrong: str, said: str
) -> None:
    assert GOOD.count(right) == 1
    (folder / "testbed.toml").write_text(GOOD.replace(right, wrong))
    with pytest.raises(TestbedError) as refused:
        project()
    assert said in refused.value.problem
    assert "\n" not in refused.value.problem


@pytest.mark.parametrize(
    ("right", "wrong", "near", "there"),
    [
        ("unset =", "unsett =", "unset", "folder, local, aws, unset, api_key, leave_out"),
        ('topic = "trucks', 'topics = "trucks', "topic", "name, topic, model, message, policy"),
        ("[devices]", '[functions.f]\nsrc = "f"\n[devices]', "", "source, into, also"),
        ("[devices]", "[device]", "devices", "name, terraform, functions, devices, outputs, api_route"),
    ],
)
def test_an_unknown_key_is_told_with_those_that_there_are(
    folder: Path, right: str, wrong: str, near: str, there: str
) -> None:
    (folder / "testbed.toml").write_text(GOOD.replace(right, wrong))
    with pytest.raises(TestbedError, match="unknown field") as refused:
        project()
    assert there in refused.value.remedy
    assert f"Did you mean {near}?" in refused.value.remedy or not near


@pytest.mark.usefixtures("folder")
def test_an_unknown_placeholder_is_refused() -> None:
    with pytest.raises(TestbedError, match=r"terraform.local.region has \{region\}"):
        project().local_variables({"packages": "/p"})


def test_a_command_that_the_project_has_nothing_for_says_so() -> None:
    outputs = Outputs.named({"table": "t"}, {"stations_table_name": "table", "dead_letter_queue_url": "null"})
    outputs.need("stations_table_name")
    with pytest.raises(TestbedError, match="a project with a dead-letter queue"):
        outputs.need("stations_table_name", "dead_letter_queue_url")
    with pytest.raises(TestbedError, match=r"outputs\.tabel is unknown"):
        Outputs.named({}, {"tabel": "table"})


def test_a_users_command_and_a_folder_become_packages(folder: Path) -> None:
    (folder / "node").mkdir()
    (folder / "node" / "index.mjs").write_text("1")
    (folder / "testbed.toml").write_text(
        GOOD + '[functions.node]\nzip = "node"\n[functions.made]\nzip = "made.zip"\n'
        'command = ["cp", "source.zip", "made.zip"]\n'
    )
    (folder / "source.zip").write_bytes(b"made by the user")
    target = folder / "packages"
    runtime = Runtime.of_this_machine()
    assert packaging.build(runtime, target) == ["node", "made"]
    assert packaging.build(runtime, target) == []
    assert zipfile.ZipFile(target / "node.zip").namelist() == ["index.mjs"]
    assert (target / "made.zip").read_bytes() == b"made by the user"
    (folder / "source.zip").unlink()
    with pytest.raises(TestbedError, match=r"functions\.made\.command failed"):
        packaging.build(runtime, target)


def test_terraform_works_in_a_copy_of_the_project(folder: Path) -> None:
    (folder / "lambda").mkdir()
    (folder / "lambda" / "app.py").write_text("here")
    for name in ("module/main.tf", "terraform.tfvars", "terraform.tfstate"):
        (folder / "terraform" / name).parent.mkdir(exist_ok=True)
        (folder / "terraform" / name).write_text("the user's")
    home = folder.parent / "home"
    home.mkdir()
    work = providers.working_folder(project(), home, air_gapped=False)
    assert (work / ".." / "lambda" / "app.py").read_text() == "here"
    assert (
        (work / "module" / "main.tf").read_text() == (work / "terraform.tfvars").read_text() == "the user's"
    )
    assert not (work / "terraform.tfstate").exists()
    (work / "made-by-terraform.zip").write_text("")
    (work / "terraform.tfvars").write_text("written by a provisioner")
    assert (folder / "terraform" / "terraform.tfvars").read_text() == "the user's"
    (folder / "lambda" / "app.py").unlink()
    providers.working_folder(project(), home, air_gapped=False)
    assert not (work / ".." / "lambda" / "app.py").exists()
    assert (work / "made-by-terraform.zip").exists()
    assert not (providers.working_folder(project(), home / "derived", air_gapped=True) / "main.tf").exists()


@pytest.mark.parametrize(
    ("written", "region"),
    [
        ('provider "aws" {\n  region = "eu-west-3"\n}\n', "eu-west-3"),
        (
            'provider "aws" {\n  region = var.r\n}\nvariable "r" {\n  default = "ap-south-1"\n}\n',
            "ap-south-1",
        ),
        ('provider "aws" {\n  alias = "us"\n  region = "us-east-1"\n}\n', ""),
        ("", ""),
    ],
)
def test_the_region_is_the_providers(folder: Path, written: str, region: str) -> None:
    (folder / "terraform" / "provider.tf").write_text(written)
    assert project().region() == region


def test_the_reference_has_every_key_and_no_other() -> None:
    text = (paths.REPOSITORY / "docs" / "own-project.md").read_text()
    named = set(re.findall(r"^\| `([a-zA-Z_.]+)` \|", text.partition("## Commands")[0], re.MULTILINE))
    tables = {
        "terraform.": TerraformTable,
        "functions.NAME.": FunctionTable,
        "devices.": DevicesTable,
        "": Project,
    }
    keys = {prefix + field for prefix, table in tables.items() for field in table.__struct_fields__}
    assert named == keys - {"terraform", "functions", "devices"} | {"functions.NAME"}


def test_a_project_that_may_make_a_stream_is_known_before_the_apply(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not project().has_stream()
    (folder / "terraform" / "stream.tf").write_text('resource "aws_kinesis_stream" "s" {\n  name = "s"\n}\n')
    assert project().has_stream()
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.delenv("TF_VAR_ingest", raising=False)
    assert not project().has_stream(), "the own one's is a switch"
    monkeypatch.setenv("TF_VAR_ingest", "kinesis")
    assert project().has_stream()
