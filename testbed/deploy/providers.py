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
from testbed.deploy.airgap.finish import finish, withdraw
from testbed.deploy.airgap.iot_proxy import iot_proxy
from testbed.deploy.project import Here, project
from testbed.paths import REPOSITORY, state_root

_LOCK = ".terraform.lock.hcl"

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

    def finish(self, session: boto3.Session, endpoint: str | None, state: Json) -> None:
        """Set by the AWS API what the provider could not; ``state`` is Terraform's."""

    def withdraw(self, session: boto3.Session, endpoint: str | None, state: Json) -> None:
        """Remove what `finish` made, after a destroy; ``state`` is that of the last apply."""


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
        source, leave_out = project().terraform, project().described.terraform.leave_out
        if leave_out:
            from testbed.deploy.airgap.derive import whole  # noqa: PLC0415  # as below

            for place, configuration in whole(source, leave_out).items():
                module = folder / place
                module.mkdir(parents=True, exist_ok=True)
                # Copied as they are; see `working_folder`.
                for file in module.glob("*.tf"):
                    file.unlink()
                (module / "main.tf.json").write_text(json.dumps(configuration, indent=1))
            return
        for file in [*source.glob("*.tf"), *source.glob("*.tf.json"), *source.glob(_LOCK)]:
            shutil.copy(file, folder)

    @contextmanager
    def iot_endpoint(self, endpoint: str, session: boto3.Session, region: str) -> Iterator[str]:  # noqa: ARG002
        """Give ``endpoint`` itself."""
        yield endpoint

    def finish(self, session: boto3.Session, endpoint: str | None, state: Json) -> None:
        """Do nothing: nothing is left to do."""

    def withdraw(self, session: boto3.Session, endpoint: str | None, state: Json) -> None:
        """Do nothing."""


class AirGappedProviders:
    """Takes the old provider that a package registry carries, and derives a configuration for it."""

    def __init__(self) -> None:
        """Derive nothing yet."""
        self._dropped: list[str] = []
        self._stand_ins: set[str] = set()

    @property
    def note(self) -> str:
        """Which provider it is, and how much of the configuration it cannot do."""
        played = f"; stand-ins play {', '.join(sorted(self._stand_ins))}" if self._stand_ins else ""
        return (
            "Terraform: its registry cannot be reached, so this applies a configuration derived for provider "
            f"{provider.VERSION}; {len(self._dropped)} settings follow by the AWS API{played}"
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
        derived = derive(project().terraform, schema, project().described.terraform.leave_out)
        provider.provide(derived.stand_ins)
        self._dropped, self._stand_ins = derived.dropped, derived.stand_ins
        for place, configuration in derived.folders.items():
            module = folder / place
            module.mkdir(parents=True, exist_ok=True)
            (module / "main.tf.json").write_text(json.dumps(configuration, indent=1))
        (folder / _LOCK).unlink(missing_ok=True)

    @contextmanager
    def iot_endpoint(self, endpoint: str, session: boto3.Session, region: str) -> Iterator[str]:
        """Run a proxy that signs IoT calls as emulators take them, and give its URL."""
        with iot_proxy(endpoint, session, region) as corrected:
            yield corrected

    def finish(self, session: boto3.Session, endpoint: str | None, state: Json) -> None:
        """Set what was dropped."""
        finish(session, endpoint, state)

    def withdraw(self, session: boto3.Session, endpoint: str | None, state: Json) -> None:
        """Remove what `finish` made."""
        withdraw(session, endpoint, state)


def working_folder(here: Here, root: Path, *, air_gapped: bool) -> Path:
    """Return the folder below ``root`` that Terraform works in, in a copy of the project.

    It is a copy, for Terraform writes (`archive_file`, `local_file`, a provisioner), and nothing of the user's may
    change. What Terraform has made there stays; what went from the project goes.

    Args:
        here: the project.
        root: for the copy.
        air_gapped: whether the ``.tf`` files are left out, for they are derived.
    """
    if here.folder == REPOSITORY:
        return root
    copy, note = root / "project", root / "copied.json"
    before = set(json.loads(note.read_text())) if note.is_file() else set()
    copied = _copy(here, copy, leave_out=(".tf", ".tf.json") if air_gapped else ())
    for gone in before - copied:
        (copy / gone).unlink(missing_ok=True)
    folder = copy / here.described.terraform.folder
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(sorted(copied)))
    return folder


def _copy(here: Here, target: Path, *, leave_out: tuple[str, ...]) -> set[str]:
    """Copy the files that are new or differ; return the names of all."""
    copied = set()
    for file in here.files():
        if file.name.endswith(leave_out) or file.name == _LOCK:
            continue
        name = file.relative_to(here.folder)
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        now, was = file.stat(), copy.stat() if copy.is_file() else None
        copied.add(name.as_posix())
        if was is None or (was.st_size, was.st_mtime_ns) != (now.st_size, now.st_mtime_ns):
            shutil.copy2(file, copy)
    return copied


def choose(air_gapped: bool) -> Providers:
    """Return the way for a deployment that has, or has not, a registry in reach."""
    return AirGappedProviders() if air_gapped else RegistryProviders()
