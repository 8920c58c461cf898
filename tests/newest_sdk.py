"""The calls that hashicorp/aws makes for each resource type of terraform/, by the newest SDK (tests/contract, in Go).

A build takes Go two minutes when its cache is empty, so these run with CONTRACT=1 (`scripts/contract`, CI).
"""

import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.paths import REPOSITORY, state_root

_SOURCE = REPOSITORY / "tests" / "contract"
_GO = shutil.which("go") or shutil.which("/usr/local/go/bin/go")

# Resource types of terraform/ that are not tried, and why. The SDK's package for EC2 is as large as all the others.
LEFT_OUT = {
    "aws_api_gateway_base_path_mapping": "a name of your own: on AWS alone",
    "aws_api_gateway_domain_name": "a name of your own: on AWS alone",
    "aws_route53_health_check": "a name of your own: on AWS alone",
    "aws_route53_record": "a name of your own: on AWS alone",
    "aws_security_group": "EC2: of the load test on Fargate alone",
    "aws_security_group_rule": "EC2: of the load test on Fargate alone",
}

MARKS = [
    pytest.mark.skipif(
        os.environ.get("CONTRACT") != "1",
        reason="the contract by the newest AWS SDK for Go: scripts/contract",
    ),
    pytest.mark.skipif(_GO is None, reason="the contract by the newest AWS SDK for Go: Go is not on PATH"),
    pytest.mark.timeout(900),
]


@dataclass(frozen=True)
class Contract:
    """What the program found: versions by module, and the errors of the resource types that failed."""

    versions: dict[str, str]
    errors: dict[str, str]


def build() -> Path:
    """Build the program; Go's cache makes the second time quick."""
    assert _GO
    target = state_root() / "contract"
    subprocess.run([_GO, "build", "-mod=readonly", "-o", str(target), "."], cwd=_SOURCE, check=True)
    return target


def run(url: str, region: str, folder: Path, *options: str) -> Contract:
    """Run the program against ``url`` with its own ``options``; print the versions and each resource type's calls."""
    package = folder / "function.zip"
    with zipfile.ZipFile(package, "w") as zipped:
        zipped.writestr("telemetry_handler/app.py", "def handler(event, context):\n    return {}\n")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_ENDPOINT_URL": url,
        "AWS_REGION": region,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    done = subprocess.run(
        [build(), "-package", package, *options], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    versions, *results = [json.loads(line) for line in done.stdout.splitlines()]
    print(*(f"{name} {version}" for name, version in versions.items()), sep="\n")
    for one in results:
        calls = ", ".join(one["calls"])
        print(f"{'FAIL' if one['error'] else 'ok  '} {one['resource']}: {calls} {one['error']}")
    return Contract(versions, {one["resource"]: one["error"] for one in results if one["error"]})
