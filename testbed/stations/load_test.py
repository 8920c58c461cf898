"""Run the fleet in shards, beyond one process: Fargate tasks on AWS, containers in Compose.

Stations are enrolled from here; a shard gets the certificates of its own stations and no right in AWS IoT. Its ledger
comes back here, so `make audit` holds what the shards were acknowledged against what was stored.
"""

import io
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from simulator.messages import station_ids
from testbed.deploy.deployment import Deployment
from testbed.deploy.outputs import LoadTest
from testbed.deploy.settings import Settings
from testbed.deploy.stations import enrolment_of
from testbed.errors import TestbedError

Say = Callable[[str], None]

_POLL_SECONDS = 10
# An image to pull, a thousand handshakes, a ledger to hand in.
_START_AND_END_SECONDS = 900


def run(deployment: Deployment, settings: Settings, shards: int, duration: float, say: Say) -> None:
    """Run a fleet in shards to its end.

    Args:
        deployment: on AWS (with Terraform's ``load_test`` on, which says how large) or on Compose.
        settings: stations and interval of Compose's.
        shards: how many containers Compose starts.
        duration: how many seconds Compose's publish.
        say: prints a line.

    Raises:
        TestbedError: there is no place for shards, or one of them failed.
    """
    if deployment.target == "aws":
        _on_fargate(deployment, say)
    else:
        _in_containers(deployment, settings, shards, duration, say)


def bundle(folder: Path, ca: Path, stations: Sequence[str]) -> bytes:
    """Return a tar of the broker's authority and the stations' certificates and keys."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as files:
        files.add(ca, "ca.crt", filter=_anonymous)
        for station in stations:
            for ending in ("crt", "key"):
                files.add(folder / f"{station}.{ending}", f"{station}.{ending}", filter=_anonymous)
    return packed.getvalue()


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


# ---------------------------------------------------------------------------
# Fargate
# ---------------------------------------------------------------------------


def _on_fargate(deployment: Deployment, say: Say) -> None:
    load = deployment.outputs.load_test
    if load is None:
        raise TestbedError(
            "There is no place for shards in this deployment.",
            "Set load_test, load_test_image and load_test_subnet_id (docs/scale.md), then: make up TARGET=aws",
        )
    new = enrolment_of(deployment).enrol(station_ids(load.stations))
    say(f"Enrolled {new} of {load.stations} stations, the others were")
    s3, bucket = deployment.client("s3"), deployment.outputs.telemetry_bucket_name
    try:
        _upload(deployment, s3, bucket, load)
        tasks = _start(deployment.client("ecs"), load, say)
        failed = _wait(deployment.client("ecs"), load, tasks, say)
        count = _fetch_ledgers(deployment, s3, bucket, load)
    finally:
        # Keys among them: they stay no longer than the run.
        for key in _keys(s3, bucket, f"{load.prefix}/"):
            s3.delete_object(Bucket=bucket, Key=key)
    say(f"{count} ledgers of {load.shards} shards; now: make audit TARGET=aws")
    if failed:
        raise TestbedError(
            f"{len(failed)} of {load.shards} shards failed: {failed[0]}", f"Logs: {load.log_group}"
        )


def _upload(deployment: Deployment, s3: Any, bucket: str, load: LoadTest) -> None:
    for shard in range(1, load.shards + 1):
        ids = station_ids(load.stations, shard=(shard, load.shards))
        s3.put_object(
            Bucket=bucket,
            Key=f"{load.prefix}/certificates/{shard}.tar",
            Body=bundle(deployment.certificates, deployment.server_ca, ids),
        )


def _start(ecs: Any, load: LoadTest, say: Say) -> list[str]:
    """Start a task for each shard; their ARNs."""
    tasks: list[str] = []
    network = {
        "subnets": [load.subnet],
        "securityGroups": [load.security_group],
        # A public subnet's way out; nothing comes in. Where there is NAT it makes no difference.
        "assignPublicIp": "ENABLED",
    }
    for shard in range(1, load.shards + 1):
        own = {"name": "simulator", "environment": [{"name": "SHARD", "value": str(shard)}]}
        answer = ecs.run_task(
            cluster=load.cluster,
            taskDefinition=load.task_definition,
            launchType="FARGATE",
            count=1,
            startedBy="load-test",
            networkConfiguration={"awsvpcConfiguration": network},
            overrides={"containerOverrides": [own]},
        )
        if answer.get("failures"):
            _stop(ecs, load, tasks)
            raise TestbedError(
                f"Shard {shard} did not start: {answer['failures'][0].get('reason')}",
                "Fargate's vCPUs are a quota.",
            )
        tasks += [task["taskArn"] for task in answer["tasks"]]
    say(f"Started {len(tasks)} shards; they end by themselves after {load.duration:g} s")
    return tasks


def _wait(ecs: Any, load: LoadTest, tasks: list[str], say: Say) -> list[str]:
    """Wait until all have ended; what was said of those that failed. Ctrl-C stops them."""
    deadline = time.monotonic() + load.duration + _START_AND_END_SECONDS
    try:
        while True:
            found = [task for some in _hundreds(tasks) for task in _describe(ecs, load, some)]
            running = [task for task in found if task["lastStatus"] != "STOPPED"]
            if not running:
                return [why for task in found if (why := _failure(task))]
            if time.monotonic() > deadline:
                _stop(ecs, load, tasks)
                return [f"{len(running)} shards did not end by themselves"]
            time.sleep(_POLL_SECONDS)
    except KeyboardInterrupt:
        say("Stopping the shards")
        _stop(ecs, load, tasks)
        raise


def _describe(ecs: Any, load: LoadTest, tasks: Sequence[str]) -> list[dict[str, Any]]:
    return list(ecs.describe_tasks(cluster=load.cluster, tasks=list(tasks))["tasks"])


def _failure(task: dict[str, Any]) -> str | None:
    codes = [container.get("exitCode") for container in task.get("containers", [])]
    return None if codes == [0] else f"{task.get('stoppedReason', 'no reason')}, exit codes {codes}"


def _stop(ecs: Any, load: LoadTest, tasks: Sequence[str]) -> None:
    for task in tasks:
        ecs.stop_task(cluster=load.cluster, task=task, reason="load-test was ended")


def _fetch_ledgers(deployment: Deployment, s3: Any, bucket: str, load: LoadTest) -> int:
    folder = deployment.path / "ledgers"
    folder.mkdir(parents=True, exist_ok=True)
    count, stamp = 0, time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    for key in _keys(s3, bucket, f"{load.prefix}/ledgers/"):
        s3.download_file(bucket, key, str(folder / f"{stamp}-{key.rsplit('/', 1)[-1]}"))
        count += 1
    return count


def _keys(s3: Any, bucket: str, prefix: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def _hundreds(items: list[str]) -> Iterator[list[str]]:
    # DescribeTasks takes a hundred.
    for first in range(0, len(items), 100):
        yield items[first : first + 100]


# ---------------------------------------------------------------------------
# Compose
# ---------------------------------------------------------------------------


def _in_containers(
    deployment: Deployment, settings: Settings, shards: int, duration: float, say: Say
) -> None:
    run_shards = deployment.local_engine.run_shards
    if run_shards is None:
        raise TestbedError(
            "A load test in shards is for AWS and for LocalStack in Compose.",
            'On this engine: make simulate STATIONS=1000 ARGS="--processes 2"',
        )
    ids = station_ids(settings.stations)
    new = enrolment_of(deployment).enrol(ids)
    say(f"Enrolled {new} of {len(ids)} stations, the others were")
    ledgers = run_shards(
        deployment.place,
        shards,
        bundle(deployment.certificates, deployment.server_ca, ids),
        STATIONS=str(settings.stations),
        INTERVAL=f"{settings.interval:g}",
        DURATION=f"{duration:g}",
        TOPIC_ROOT=deployment.topic_root,
    )
    folder = deployment.path / "ledgers"
    folder.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    for ledger in ledgers:
        shutil.move(ledger, folder / f"{stamp}-{ledger.name}")
    say(f"{len(ledgers)} ledgers of {shards} shards; now: make audit")
