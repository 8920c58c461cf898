"""The two ways that Terraform's provider comes: from its registry, or with this project where no registry answers."""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import boto3

from testbed.deploy.airgap import provider, tf_cmd
from testbed.deploy.airgap.finish import DROPPED_OUTPUT, finish, withdraw
from testbed.deploy.airgap.iot_proxy import iot_proxy
from testbed.deploy.project import Here, project
from testbed.paths import REPOSITORY, state_root

_LOCK = ".terraform.lock.hcl"

# Endings of what is not linked into the working copy: copied, or made there.
_WRITTEN = (".tf", ".tf.json", ".tfvars", ".tfvars.json", ".tfstate", ".backup", ".tfplan", ".log")

Json = dict[str, Any]


class Providers(Protocol):
    """Makes of ``terraform/`` what the provider takes, and does what the provider cannot."""

    @property
    def note(self) -> str:
        """What the user is told after `lay_out`; empty where there is nothing to say."""

    def environment(self) -> dict[str, str]:
        """Return the variables that each run of Terraform has, on AWS, too."""

    def tflocal_environment(self, terraform: str) -> dict[str, str]:
        """Return the variables by which tflocal finds the program that it runs as Terraform."""

    def lay_out(self, terraform: str, folder: Path, environment: dict[str, str]) -> None:
        """Write the configuration into ``folder``.

        Args:
            terraform: the program.
            folder: the working copy.
            environment: of a run of Terraform.

        Raises:
            TestbedError: the configuration is not for this provider.
        """

    @contextmanager
    def iot_endpoint(self, endpoint: str, session: boto3.Session, region: str) -> Iterator[str]:
        """Give the URL that the provider's IoT calls go to, in front of ``endpoint``."""

    def finish(self, session: boto3.Session, endpoint: str | None, outputs: Json) -> Json:
        """Set by the AWS API what the provider could not, and return the outputs that are the deployment's."""

    def withdraw(self, session: boto3.Session, endpoint: str | None, outputs: Json) -> None:
        """Remove what `finish` made, after a destroy; ``outputs`` are those of the last apply."""


class RegistryProviders:
    """Takes the provider that terraform/ asks for, from Terraform's registry or the user's mirror of it."""

    note = ""

    def environment(self) -> dict[str, str]:
        """Return nothing: Terraform's own settings hold."""
        return {}

    def tflocal_environment(self, terraform: str) -> dict[str, str]:
        """Return Terraform itself."""
        return {"TF_CMD": terraform}

    def lay_out(self, terraform: str, folder: Path, environment: dict[str, str]) -> None:  # noqa: ARG002
        """Copy the configuration as it is."""
        # The user's lock, where he keeps one, says which provider it is; a folder's own is of an earlier `up`.
        source = project().terraform
        for file in [*source.glob("*.tf"), *source.glob("*.tf.json"), *source.glob(_LOCK)]:
            shutil.copy(file, folder)
        _link_others(source, folder)

    @contextmanager
    def iot_endpoint(self, endpoint: str, session: boto3.Session, region: str) -> Iterator[str]:  # noqa: ARG002
        """Give ``endpoint`` itself."""
        yield endpoint

    def finish(self, session: boto3.Session, endpoint: str | None, outputs: Json) -> Json:  # noqa: ARG002
        """Return the outputs: nothing is left to do."""
        return outputs

    def withdraw(self, session: boto3.Session, endpoint: str | None, outputs: Json) -> None:
        """Do nothing."""


class AirGappedProviders:
    """Takes the old provider that a package registry carries, and derives a configuration for it."""

    def __init__(self) -> None:
        """Derive nothing yet."""
        self._dropped: list[str] = []

    @property
    def note(self) -> str:
        """Which provider it is, and how much of the configuration it cannot do."""
        return (
            "Terraform: its registry cannot be reached, so this applies a configuration derived for provider "
            f"{provider.VERSION}; {len(self._dropped)} settings follow by the AWS API"
        )

    def environment(self) -> dict[str, str]:
        """Return the Terraform settings that name the folder with the provider."""
        return {"TF_CLI_CONFIG_FILE": str(provider.ensure())}

    def tflocal_environment(self, terraform: str) -> dict[str, str]:
        """Return `tf_cmd`, which fits tflocal's own settings to the old provider."""
        home = state_root() / "airgap"
        # TF_CMD takes one word.
        script = home / "terraform"
        script.write_text(
            f'#!/bin/sh\nPYTHONPATH="{REPOSITORY}" exec "{sys.executable}" -m testbed.deploy.airgap.tf_cmd "$@"\n'
        )
        script.chmod(0o755)
        return {
            "TF_CMD": str(script),
            tf_cmd.TERRAFORM_VARIABLE: terraform,
            tf_cmd.SCHEMA_VARIABLE: str(home / f"schema-{provider.VERSION}.json"),
        }

    def lay_out(self, terraform: str, folder: Path, environment: dict[str, str]) -> None:
        """Derive the configuration and write it."""
        # It reads HCL, which takes a parser a while to start.
        from testbed.deploy.airgap.derive import derive  # noqa: PLC0415

        schema = provider.schema(terraform, folder / "schema", environment)
        configuration, self._dropped = derive(project().terraform, schema)
        (folder / "main.tf.json").write_text(json.dumps(configuration, indent=1))
        (folder / _LOCK).unlink(missing_ok=True)
        _link_others(project().terraform, folder)

    @contextmanager
    def iot_endpoint(self, endpoint: str, session: boto3.Session, region: str) -> Iterator[str]:
        """Run a proxy that signs IoT calls as emulators take them, and give its URL."""
        with iot_proxy(endpoint, session, region) as corrected:
            yield corrected

    def finish(self, session: boto3.Session, endpoint: str | None, outputs: Json) -> Json:
        """Set what was dropped, as Terraform's output of it has it."""
        finish(session, endpoint, outputs[DROPPED_OUTPUT])
        return {name: value for name, value in outputs.items() if name != DROPPED_OUTPUT}

    def withdraw(self, session: boto3.Session, endpoint: str | None, outputs: Json) -> None:
        """Remove what `finish` made."""
        withdraw(session, endpoint, outputs.get(DROPPED_OUTPUT, []))


def working_folder(here: Here, root: Path) -> Path:
    """Return the folder below ``root`` that Terraform works in, from which ``../x`` is what it is in the project."""
    if here.folder == REPOSITORY:
        return root
    there, folder = here.folder, root / "project"
    for part in Path(here.described.terraform.folder).parts:
        folder.mkdir(parents=True, exist_ok=True)
        for beside in there.iterdir():
            link = folder / beside.name
            if beside.name != part and not beside.name.startswith(".") and not link.exists():
                link.unlink(missing_ok=True)
                link.symlink_to(beside)
        there, folder = there / part, folder / part
    return folder


def _link_others(source: Path, folder: Path) -> None:
    """Let modules, templates and other files of the configuration be found from the working copy."""
    for there in source.iterdir():
        link = folder / there.name
        # What Terraform and the testbed write in the working copy must not be written through a link.
        written = there.name.startswith(".") or there.name.endswith(_WRITTEN)
        if not written and not link.exists():
            link.unlink(missing_ok=True)
            link.symlink_to(there)


def choose(air_gapped: bool) -> Providers:
    """Return the way for a deployment that has, or has not, a registry in reach."""
    return AirGappedProviders() if air_gapped else RegistryProviders()
