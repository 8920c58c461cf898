"""Shows logs: the functions' from CloudWatch, the processes' from their files."""

import time
from collections.abc import Callable

from botocore.exceptions import ClientError

from testbed.deploy.deployment import Deployment


def show(deployment: Deployment, say: Callable[[str], None], *, minutes: int, lines: int) -> None:
    """Print the newest lines of every log.

    Args:
        deployment: whose.
        say: prints a line.
        minutes: how far back in CloudWatch.
        lines: most lines of each log.
    """
    client = deployment.client("logs")
    outputs = deployment.outputs
    for function in (outputs.telemetry_function_name, outputs.api_function_name):
        group = f"/aws/lambda/{function}"
        say(f"==> {group}")
        since = int((time.time() - 60 * minutes) * 1000)
        try:
            events = [
                event
                for page in client.get_paginator("filter_log_events").paginate(
                    logGroupName=group, startTime=since
                )
                for event in page["events"]
            ]
        except ClientError as error:
            say(f"    {error}")
            continue
        for event in sorted(events, key=lambda event: event["timestamp"])[-lines:]:
            say(event["message"].rstrip())
    for process in deployment.processes.values():
        say(f"==> {process.where}")
        for line in process.last_lines(lines):
            say(line)
