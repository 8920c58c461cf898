"""Terraform's outputs, for tests that apply nothing."""

import msgspec

from testbed.deploy.outputs import Outputs


def outputs(**given: str) -> Outputs:
    """Return outputs with these values, and with a name in place of each other that a deployment must have."""
    needed = dict.fromkeys(Outputs.__struct_fields__, "some-name") | {"load_test": None}
    return msgspec.convert(needed | {"dashboard_url": "", "analytics_database": ""} | given, Outputs)
