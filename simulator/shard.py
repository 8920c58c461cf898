"""``python -m simulator.shard``: one shard of a fleet as a container, told by its environment what to do.

For containers: Fargate tasks, and those of Docker Compose. ``SHARD`` (1 to ``SHARDS``) says which shard it is. With
``BUCKET`` its certificates come from S3 and its ledger goes there; without, they are in the folder ``CERTIFICATES``.
"""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.options import TOPIC_ROOT

_WORK = Path("/shard")


def command(environment: Mapping[str, str], shard: int, certificates: Path, ledger: Path) -> list[str]:
    """Build the simulator's command line for a shard.

    Args:
        environment: ``SHARDS``, ``STATIONS``, ``INTERVAL``, ``DURATION``, ``ENDPOINT``, ``PORT``; ``TOPIC_ROOT`` if the
            deployment has one of its own; ``RAMP`` if it is not 500 connections a second of all shards together,
            which is AWS IoT's quota.
        shard: which one.
        certificates: folder with ``ca.crt`` and the stations' certificates.
        ledger: file for it.
    """
    shards = int(environment["SHARDS"])
    return [
        sys.executable,
        "-m",
        "simulator",
        "--endpoint",
        environment["ENDPOINT"],
        "--port",
        environment["PORT"],
        "--ca",
        str(certificates / "ca.crt"),
        "--certs",
        str(certificates),
        "--ledger",
        str(ledger),
        "--num-stations",
        environment["STATIONS"],
        "--interval",
        environment["INTERVAL"],
        "--topic-root",
        environment.get("TOPIC_ROOT") or TOPIC_ROOT,
        "--duration",
        environment["DURATION"],
        "--shard",
        f"{shard}/{shards}",
        "--ramp",
        f"{min(100.0, float(environment.get('RAMP', '500')) / shards):g}",
    ]


def main() -> None:
    """Fetch, run, and hand in the ledger, whatever became of the run."""
    environment = os.environ
    shard = int(environment["SHARD"])
    ledger = _WORK / f"shard-{shard}.ndjson"
    bucket = environment.get("BUCKET")
    certificates = Path(environment.get("CERTIFICATES", str(_WORK / "certificates")))
    s3: Any = None
    if bucket:
        import boto3  # noqa: PLC0415  # Compose needs none

        s3 = boto3.client("s3")
        bundle = s3.get_object(Bucket=bucket, Key=f"{environment['PREFIX']}/certificates/{shard}.tar")
        with tarfile.open(fileobj=io.BytesIO(bundle["Body"].read())) as files:
            files.extractall(certificates, filter="data")
    code = subprocess.run(command(environment, shard, certificates, ledger), check=False).returncode
    if s3 is not None and ledger.is_file():
        s3.upload_file(str(ledger), bucket, f"{environment['PREFIX']}/ledgers/{ledger.name}")
    sys.exit(code)


if __name__ == "__main__":
    main()
