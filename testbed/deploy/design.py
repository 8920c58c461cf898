"""Which of the priced designs Terraform's variables make."""

from testbed.cost.designs import Design, Ingest
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
