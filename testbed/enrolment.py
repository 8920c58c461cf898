"""Enrols stations at AWS IoT: a thing, a certificate of its own and the thing policy; and removes them.

The same calls on every target, in parallel. Locally several processes share a large fleet, because boto3 itself
is what takes the time; on AWS it is one, and boto3's adaptive retries find the account's rate limits.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from testbed.authority import Authority, certificate_id

if TYPE_CHECKING:
    from mypy_boto3_iot.client import IoTClient

_PARALLEL = 8
# From so many on other processes take part; their start costs half a second.
_MANY = 200
_BATCH = 50


@dataclass(frozen=True)
class _Place:
    """What another process needs to enrol at the same place."""

    credentials: tuple[str, str, str | None]
    region: str | None
    endpoint: str
    authority: Path
    policy: str
    folder: Path


class Enrolment:
    """The stations of one deployment: their certificates are ``<station id>.crt`` and ``.key`` in ``folder``."""

    def __init__(
        self,
        session: boto3.Session,
        endpoint: str | None,
        *,
        authority: Authority,
        policy: str,
        folder: Path,
        admitted: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        """Talk to AWS IoT at ``endpoint`` (None: AWS itself).

        Args:
            session: credentials and region.
            endpoint: URL of the control plane.
            authority: signs the certificates.
            policy: the thing policy's name.
            folder: where certificates and keys are kept.
            admitted: waits until the broker knows the stations that it is given.
        """
        retries = Config(retries={"mode": "adaptive", "max_attempts": 10}, max_pool_connections=_PARALLEL)
        self._iot: IoTClient = session.client("iot", endpoint_url=endpoint, config=retries)
        self._session, self._endpoint = session, endpoint
        self._authority = authority
        self._policy = policy
        self._folder = folder
        self._admitted = admitted

    def enrol(self, stations: Sequence[str], progress: Callable[[int], None] = lambda _: None) -> int:
        """Enrol those that have no certificate yet; calling it again is harmless.

        Args:
            stations: station ids.
            progress: called with the number done so far.

        Returns:
            How many were new.
        """
        new = [station for station in stations if not self._marker(station).is_file()]
        for done, _ in enumerate(self._enrol_all(new), 1):
            progress(done)
        if new:
            self._admitted(new)
        return len(new)

    def _enrol_all(self, stations: list[str]) -> Iterator[str]:
        if self._endpoint is None or len(stations) < _MANY:
            yield from self._enrol_here(stations)
            return
        batches = [stations[first : first + _BATCH] for first in range(0, len(stations), _BATCH)]
        with ProcessPoolExecutor(
            os.cpu_count(),
            multiprocessing.get_context("spawn"),
            _start_worker,
            (self._place(self._endpoint),),
        ) as pool:
            for done in pool.map(_enrol_in_worker, batches):
                yield from done

    def _enrol_here(self, stations: list[str]) -> Iterator[str]:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            for station, _ in zip(stations, pool.map(self._enrol_one, stations), strict=True):
                yield station

    def _place(self, endpoint: str) -> _Place:
        credentials = self._session.get_credentials()
        assert credentials  # noqa: S101  # a local endpoint's session has made ones
        frozen = credentials.get_frozen_credentials()
        return _Place(
            (frozen.access_key or "", frozen.secret_key or "", frozen.token), self._session.region_name, endpoint,
            self._authority.path.parent, self._policy, self._folder,
        )  # fmt: skip

    def enrolled(self) -> list[str]:
        """The stations that this folder knows."""
        return sorted(marker.stem for marker in self._folder.glob("*.enrolled"))

    def remove(self, stations: Iterable[str] | None = None) -> int:
        """Remove things, certificates and key files (of all enrolled stations, if none are named).

        Returns:
            How many were removed.
        """
        names = self.enrolled() if stations is None else list(stations)
        with ThreadPoolExecutor(_PARALLEL) as pool:
            return len(list(pool.map(self._remove_one, names)))

    def remove_strangers(self) -> int:
        """Remove the stations that have our policy and were enrolled from elsewhere: with them it cannot be deleted.

        Returns:
            How many were removed.
        """
        removed = 0
        for page in self._iot.get_paginator("list_targets_for_policy").paginate(policyName=self._policy):
            for arn in page["targets"]:
                for thing in self._iot.list_principal_things(principal=arn)["things"]:
                    self._unregister(thing, arn)
                    removed += 1
        return removed

    def deactivate(self, station: str) -> None:
        """Set the station's certificate INACTIVE: the broker must refuse it from then on."""
        self._iot.update_certificate(certificateId=self._certificate_id(station), newStatus="INACTIVE")

    def _enrol_one(self, station: str) -> None:
        certificate, key = self._folder / f"{station}.crt", self._folder / f"{station}.key"
        if not (certificate.is_file() and key.is_file()):
            self._authority.client(station).write(certificate, key)
        try:
            arn = self._iot.register_certificate_without_ca(
                certificatePem=certificate.read_text(), status="ACTIVE"
            )["certificateArn"]
        except self._iot.exceptions.ResourceAlreadyExistsException:
            # An enrolment that was cut off: go on where it ended.
            described = self._iot.describe_certificate(certificateId=self._certificate_id(station))
            arn = described["certificateDescription"]["certificateArn"]
        self._iot.create_thing(thingName=station)
        self._iot.attach_thing_principal(thingName=station, principal=arn)
        self._iot.attach_policy(policyName=self._policy, target=arn)
        self._marker(station).write_text(arn)

    def _remove_one(self, station: str) -> None:
        marker = self._marker(station)
        if marker.is_file():
            self._unregister(station, marker.read_text())
        for path in (marker, self._folder / f"{station}.crt", self._folder / f"{station}.key"):
            path.unlink(missing_ok=True)

    def _unregister(self, station: str, arn: str) -> None:
        identity = arn.rsplit("/", 1)[-1]
        for call in (
            lambda: self._iot.detach_policy(policyName=self._policy, target=arn),
            lambda: self._iot.detach_thing_principal(thingName=station, principal=arn),
            lambda: self._iot.delete_thing(thingName=station),
            lambda: self._iot.update_certificate(certificateId=identity, newStatus="INACTIVE"),
            lambda: self._iot.delete_certificate(certificateId=identity, forceDelete=True),
        ):
            _unless_gone(call)

    def _certificate_id(self, station: str) -> str:
        return certificate_id((self._folder / f"{station}.crt").read_bytes())

    def _marker(self, station: str) -> Path:
        return self._folder / f"{station}.enrolled"


def _unless_gone(call: Callable[[], object]) -> None:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise


# --- in another process ------------------------------------------------------

_worker: Enrolment | None = None


def _start_worker(place: _Place) -> None:
    global _worker  # noqa: PLW0603  # a process pool hands its workers nothing else
    _worker = Enrolment(
        boto3.Session(*place.credentials, region_name=place.region), place.endpoint,
        authority=Authority.load_or_create(place.authority, name="known already"),
        policy=place.policy, folder=place.folder,
    )  # fmt: skip


def _enrol_in_worker(stations: list[str]) -> list[str]:
    assert _worker  # noqa: S101  # the pool has started it
    return list(_worker._enrol_here(stations))
