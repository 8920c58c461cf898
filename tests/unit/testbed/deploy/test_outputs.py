"""Terraform's outputs have types."""

import hcl2
import msgspec
import pytest

from testbed.deploy.deployment import Deployment
from testbed.deploy.outputs import LoadTest, Outputs
from testbed.errors import TestbedError
from testbed.paths import TERRAFORM
from tests.outputs import outputs

# Kept in a file of its own.
APART = "api_key"


def test_every_output_of_terraform_has_a_field_and_no_field_is_without_one() -> None:
    parsed = hcl2.loads((TERRAFORM / "outputs.tf").read_text())["output"]
    names = {name.strip('"') for block in parsed for name in block}
    assert names - {APART} == set(Outputs.__struct_fields__)


def test_a_load_test_has_the_fields_that_terraform_gives_it() -> None:
    text = (TERRAFORM / "outputs.tf").read_text().partition('output "load_test"')[2]
    assert all(f"    {name} " in text for name in LoadTest.__struct_fields__)


def test_outputs_survive_the_file_and_are_missing_before_the_first_apply(tmp_path: object) -> None:
    deployment = Deployment(
        target="aws",
        engine_name=None,
        name="test",
        region="eu-central-1",
        environment="dev",
        folder=str(tmp_path),
        air_gapped=False,
    )
    with pytest.raises(TestbedError, match="not been applied") as refused:
        _ = deployment.outputs
    assert "make up" in refused.value.remedy
    deployment.take_outputs({APART: "-"} | msgspec.to_builtins(outputs(topic_root="ev-swap/stations")))
    deployment.save()
    loaded = Deployment.load(deployment.path)
    assert loaded is not None
    assert loaded.topic_root == "ev-swap/stations"
    assert loaded.outputs == deployment.outputs
    assert APART not in (deployment.path / "deployment.json").read_text()
