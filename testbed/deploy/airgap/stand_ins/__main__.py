"""Plays a small provider of HashiCorp's for Terraform: ``python __main__.py archive``.

It runs in an environment of its own (``stand_ins.txt``), whose package ``tf`` speaks Terraform's plugin protocol. What
a resource computes is what HashiCorp's documents say (registry.terraform.io/providers/hashicorp/<name>/latest/docs);
what this does not know, Terraform refuses by its name as an unsupported argument.
"""

import sys

import archive
import files
import keys
import others
import randoms
from tf.iface import DataSource, Provider, Resource
from tf.runner import run_provider
from tf.schema import Schema
from tf.utils import Diagnostics

PROVIDERS: dict[str, tuple[list[type[Resource]], list[type[DataSource]]]] = {
    "archive": ([archive.File], [archive.FileData]),
    "external": ([], [others.External]),
    "local": ([files.File, files.SensitiveFile], [files.FileData, files.SensitiveFileData]),
    "null": ([others.Null], [others.NullData]),
    "random": (randoms.RESOURCES, []),
    "template": ([], [others.Template]),
    "time": ([others.Sleep, others.Static], []),
    "tls": ([keys.PrivateKey, keys.SelfSigned, keys.Request], [keys.PublicKey]),
}


class StandIn(Provider):
    """One of them."""

    def __init__(self, name: str) -> None:
        """Take its name."""
        self._name = name

    def get_model_prefix(self) -> str:
        """Return what the names of its resources begin with."""
        # The one data source of hashicorp/external is called as the provider.
        return self._name if self._name == "external" else f"{self._name}_"

    def full_name(self) -> str:
        """Return its address."""
        return f"registry.terraform.io/hashicorp/{self._name}"

    def get_provider_schema(self, diags: Diagnostics) -> Schema:  # noqa: ARG002
        """Return that its block takes nothing."""
        return Schema()

    def validate_config(self, diags: Diagnostics, config: dict[str, object]) -> None:
        """Accept its block."""

    def configure_provider(self, diags: Diagnostics, config: dict[str, object]) -> None:
        """Do nothing."""

    def get_resources(self) -> list[type[Resource]]:
        """Return its resources."""
        return PROVIDERS[self._name][0]

    def get_data_sources(self) -> list[type[DataSource]]:
        """Return its data sources."""
        return PROVIDERS[self._name][1]


if __name__ == "__main__":
    run_provider(StandIn(sys.argv[1]), sys.argv[:1])
