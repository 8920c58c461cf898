"""Which of the priced designs Terraform's variables make."""

from testbed.cost.designs import Design
from testbed.deploy.terraform import chosen
from testbed.paths import TERRAFORM


def chosen_design(environment: str) -> Design:
    """Return the design that ``make up TARGET=aws`` deploys with this environment's settings and TF_VAR_....

    A value that Terraform would refuse counts as the default.
    """
    defaults = TERRAFORM / "environments" / f"{environment}.tfvars"
    provisioned = chosen("table_capacity", defaults, "on-demand") == "provisioned"
    return Design(tables="provisioned" if provisioned else "on-demand")
