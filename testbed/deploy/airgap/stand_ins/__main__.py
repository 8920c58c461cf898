"""Plays a small provider of HashiCorp's for Terraform: ``python __main__.py archive``.

It runs in an environment of its own (``stand_ins.txt``), whose package ``tf`` speaks Terraform's plugin protocol. What
a resource computes is what HashiCorp's documents say (registry.terraform.io/providers/hashicorp/<name>/latest/docs);
what this does not know, Terraform refuses by its name as an unsupported argument.
"""

import sys
from importlib import import_module

from tf.iface import DataSource, Provider, Resource
from tf.runner import run_provider
from tf.schema import Schema
from tf.utils import Diagnostics

# Terraform starts a provider three times a command: each loads its own module alone.
_MODULES = {
    "archive": "archive",
    "external": "others",
    "local": "files",
    "null": "others",
    "random": "randoms",
    "template": "others",
    "time": "others",
    "tls": "keys",
}


class StandIn(Provider):
    """One of them."""

    def __init__(self, name: str) -> None:
        """Take its name."""
        self._name = name
        self._resources, self._data = import_module(_MODULES[name]).PROVIDERS[name]

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
        return list(self._resources)

    def get_data_sources(self) -> list[type[DataSource]]:
        """Return its data sources."""
        return list(self._data)


if __name__ == "__main__":
    run_provider(StandIn(sys.argv[1]), sys.argv[:1])
