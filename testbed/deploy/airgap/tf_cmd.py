"""What tflocal runs as Terraform: fits tflocal's provider override to the old provider, then runs Terraform.

tflocal writes the override anew before each command, with the endpoints that current providers know.
"""

import json
import os
import sys
from pathlib import Path

# Given by testbed.deploy.terraform.
TERRAFORM_VARIABLE = "TESTBED_TERRAFORM"
SCHEMA_VARIABLE = "TESTBED_PROVIDER_SCHEMA"
_OVERRIDE = Path("localstack_providers_override.tf")


def main() -> None:
    """Become Terraform, with our arguments."""
    if _OVERRIDE.is_file():
        # tflocal runs this for `version`, too, where there is nothing to fit.
        from testbed.deploy.airgap.derive import provider_block  # noqa: PLC0415

        schema = json.loads(Path(os.environ[SCHEMA_VARIABLE]).read_text())
        _OVERRIDE.write_text(provider_block(_OVERRIDE.read_text(), schema))
    terraform = os.environ[TERRAFORM_VARIABLE]
    os.execv(terraform, [terraform, *sys.argv[1:]])  # noqa: S606  # no shell is what we want


if __name__ == "__main__":
    main()
