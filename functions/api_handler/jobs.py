"""Roll-outs of firmware: the deployment's newest jobs of AWS IoT Jobs, and how far they are."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from api_handler.calls import ONCE_AND_SOON

# Pages ask every ten seconds, each for itself; DescribeJob is held to 10 a second an account.
FRESH_SECONDS = 5
_NEWEST = 5
# Jobs of others are in the same list: so many pages of 250 are looked through.
_MOST_PAGES = 4
_PAGE = 250
# As testbed/operations/firmware.py describes its jobs.
_DESCRIBED = re.compile(r"(Firmware|Back from) (\S+), (\d+) stations")
_OPERATIONS = {"Firmware": "firmware", "Back from": "roll-back"}
_COUNTS = {
    "succeeded": "numberOfSucceededThings",
    "failed": "numberOfFailedThings",
    "rejected": "numberOfRejectedThings",
    "timed_out": "numberOfTimedOutThings",
    "in_progress": "numberOfInProgressThings",
    "queued": "numberOfQueuedThings",
    "canceled": "numberOfCanceledThings",
}


class Jobs:
    """Reads jobs. ``client`` makes botocore's iot: not before the first question."""

    def __init__(
        self, client: Callable[[], Any], prefix: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep what is needed; ``prefix`` is how the ids of the deployment's jobs begin."""
        self._make, self._made = client, None
        self._prefix, self._clock = prefix, clock
        self._newest: list[dict[str, Any]] = []
        self._good_until = -1.0

    @classmethod
    def of(cls, session: Any, prefix: str) -> "Jobs":
        """Use AWS IoT; ``session`` is botocore's."""
        return cls(lambda: session.create_client("iot", config=ONCE_AND_SOON), prefix)

    def newest(self) -> dict[str, Any]:
        """Return the newest roll-outs, the last one first; up to `FRESH_SECONDS` old."""
        if self._clock() >= self._good_until:
            self._newest = [shown for job_id in self._ids() if (shown := self._shown(job_id))]
            self._good_until = self._clock() + FRESH_SECONDS
        return {"jobs": self._newest}

    def _ids(self) -> list[str]:
        found: list[tuple[float, str]] = []
        more: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            page = self._client.list_jobs(maxResults=_PAGE, **more)
            found += [
                (job["createdAt"].timestamp(), job["jobId"])
                for job in page["jobs"]
                if job["jobId"].startswith(self._prefix)
            ]
            if not page.get("nextToken"):
                break
            more = {"nextToken": page["nextToken"]}
        return [job_id for _, job_id in sorted(found, reverse=True)[:_NEWEST]]

    def _shown(self, job_id: str) -> dict[str, Any] | None:
        job = self._client.describe_job(jobId=job_id)["job"]
        described = _DESCRIBED.fullmatch(job.get("description", ""))
        if described is None:
            return None
        operation, version, stations = described.groups()
        details = job["jobProcessDetails"]
        counts = {name: details.get(member, 0) for name, member in _COUNTS.items()}
        return {
            "job_id": job_id,
            "operation": _OPERATIONS[operation],
            "version": version,
            "stations": int(stations),
            "status": job["status"],
            "aborted": _aborted(job, counts),
            "created_at": _text(job["createdAt"]),
            "counts": counts,
        }

    @property
    def _client(self) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made


def _aborted(job: dict[str, Any], counts: dict[str, int]) -> bool:
    """Tell whether too many failed.

    The service's own reason is in no document; those who cancel by `scripts/testbed firmware` give this one. The share
    says nothing afterwards: stations that had begun go on.
    """
    failed = any(counts[name] for name in ("failed", "rejected", "timed_out"))
    return job["status"] == "CANCELED" and failed and job.get("reasonCode") != "OPERATOR"


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
