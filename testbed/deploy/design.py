"""What Terraform's variables choose: one of the priced designs, and what is on beside it."""

import re
from pathlib import Path

from testbed.cost.designs import Design, Ingest
from testbed.deploy.needs import SWITCHED
from testbed.deploy.terraform import chosen
from testbed.paths import TERRAFORM


def chosen_design(environment: str) -> Design:
    """Return the design that ``make up TARGET=aws`` deploys with this environment's settings and TF_VAR_....

    A value that Terraform would refuse counts as the default.
    """
    defaults = TERRAFORM / "environments" / f"{environment}.tfvars"
    ingest: Ingest = "sqs"
    if chosen("ingest", defaults, "sqs") == "kinesis":
        on_demand = chosen("stream_shards", defaults, "0") == "0"
        ingest = "kinesis on-demand" if on_demand else "kinesis provisioned"
    provisioned = chosen("table_capacity", defaults, "on-demand") == "provisioned"
    return Design(ingest, "provisioned" if provisioned else "on-demand")


def replica_regions(defaults: Path) -> list[str]:
    """Return the regions that the tables are replicated to."""
    return re.findall(r"[a-z]{2}-[a-z-]+-\d+", chosen("replica_regions", defaults, "[]"))


# Values that switch off what wants more of an account.
_OFF = ("", "false", "0", "null", "[]", "sqs", "on-demand")


def switches(defaults: Path) -> set[str]:
    """Return the keys of `testbed.deploy.needs.SWITCHED` that the user's settings have on."""
    by_default = {"analytics": "true"}
    return {name for name in SWITCHED if chosen(name, defaults, by_default.get(name, "")).lower() not in _OFF}
