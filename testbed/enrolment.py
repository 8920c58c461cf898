"""Enrols stations at AWS IoT: a thing, a certificate of its own and the thing policy; and removes them.

The same four calls on every target, in parallel. Locally CPU is what they take: they are made without boto3 (see
`bridge.control_plane`), and several processes share a large fleet. On AWS it is the account's rates
(`testbed.aws.rates`).

Fewer calls would not help on AWS: RegisterThing does all four and is held to 10 a second itself, and a policy on a
thing group saves AttachPolicy (15 a second), where the certificate's registration (10) is the slowest. ministack
1.5.33 has no RegisterThing.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import boto3
import msgspec
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from bridge.control_plane import ControlPlane
from testbed.authority import Authority, append, certificate_id
from testbed.aws.rates import PacedControlPlane

# On AWS calls wait for the network; locally they wait for the emulator's one process.
_PARALLEL_AT_AWS, _PARALLEL = 16, 4
# From so many on other processes take part; their start costs half a second.
_MANY = 200
_BATCH = 50

_What = Literal["enrol", "remove"]


class _Calls(Protocol):
    def call(self, operation: str, **parameters: Any) -> Any:
        """Call an operation of AWS IoT."""


@dataclass(frozen=True)
class _Place:
    """What another process needs to enrol at the same place."""

    credentials: ReadOnlyCredentials
    region: str
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
        self._place: _Place | None = None
        if endpoint is None:
            self._calls: _Calls = PacedControlPlane(session, parallel=_PARALLEL_AT_AWS)
        else:
            credentials = session.get_credentials()
            assert credentials  # noqa: S101  # a local endpoint's session has made ones
            self._place = _Place(
                credentials.get_frozen_credentials(), session.region_name, endpoint,
                authority.path.parent, policy, folder,
            )  # fmt: skip
            self._calls = _control_plane(self._place)
        self._journal = _Journal(folder)
        self._station = _Station(self._calls, authority, policy, folder)
        self._folder = folder
        self._policy = policy
        self._admitted = admitted

    def enrol(self, stations: Sequence[str], progress: Callable[[int], None] = lambda _: None) -> int:
        """Enrol those that have no certificate yet; calling it again is harmless.

        Args:
            stations: station ids.
            progress: called with the number done so far.

        Returns:
            How many were new.
        """
        known = self._journal.read()
        new = [station for station in stations if station not in known]
        for done, _ in enumerate(self._all("enrol", dict.fromkeys(new, "")), 1):
            progress(done)
        if new:
            self._admitted(new)
        return len(new)

    def enrolled(self) -> list[str]:
        """The stations that this folder knows."""
        return sorted(self._journal.read())

    def remove(self, stations: Iterable[str] | None = None) -> int:
        """Remove things, certificates and key files (of all enrolled stations, if none are named).

        Returns:
            How many were removed.
        """
        known = self._journal.read()
        names = sorted(known) if stations is None else stations
        return sum(1 for _ in self._all("remove", {name: known.get(name, "") for name in names}))

    def remove_strangers(self) -> int:
        """Remove the stations that have our policy and were enrolled from elsewhere: with them it cannot be deleted.

        Returns:
            How many were removed.
        """
        removed = 0
        for arn in list(self._targets()):
            for thing in self._calls.call("ListPrincipalThings", principal=arn)["things"]:
                self._station.unregister(thing, arn)
                removed += 1
        return removed

    def _targets(self) -> Iterator[str]:
        """The certificates that have our policy."""
        marker: dict[str, str] = {}
        while True:
            page = self._calls.call("ListTargetsForPolicy", policyName=self._policy, **marker)
            yield from page["targets"]
            if not page.get("nextMarker"):
                return
            marker = {"marker": page["nextMarker"]}

    def deactivate(self, station: str) -> None:
        """Set the station's certificate INACTIVE: the broker must refuse it from then on."""
        identity = certificate_id((self._folder / f"{station}.crt").read_bytes())
        self._calls.call("UpdateCertificate", certificateId=identity, newStatus="INACTIVE")

    def _all(self, what: _What, stations: Mapping[str, str]) -> Iterator[str]:
        """Do it for all (ARN by station); those that are done, in order."""
        items = list(stations.items())
        if self._place is None or len(items) < _MANY:
            parallel = _PARALLEL if self._place else _PARALLEL_AT_AWS
            yield from _side_by_side(self._station, what, items, parallel)
            return
        batches = [items[first : first + _BATCH] for first in range(0, len(items), _BATCH)]
        with ProcessPoolExecutor(
            os.cpu_count(), multiprocessing.get_context("spawn"), _start_worker, (self._place,)
        ) as pool:
            for done in pool.map(_in_worker, [what] * len(batches), batches):
                yield from done


class _Journal:
    """The certificates' ARNs of the stations that are enrolled: a line for each that came or went.

    One file for a fleet; lines are appended whole, by as many processes as enrol.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "enrolled.ndjson"

    def read(self) -> dict[str, str]:
        """ARN by station."""
        found: dict[str, str] = {}
        if self._path.is_file():
            for line in self._path.read_bytes().splitlines():
                station, arn = msgspec.json.decode(line, type=tuple[str, str])
                if arn:
                    found[station] = arn
                else:
                    found.pop(station, None)
        return found

    def note(self, station: str, arn: str) -> None:
        """Of one that is enrolled, or (without an ARN) removed."""
        append(self._path, msgspec.json.encode((station, arn)) + b"\n")


class _Station:
    """What is done for one station."""

    def __init__(self, calls: _Calls, authority: Authority, policy: str, folder: Path) -> None:
        self._call = calls.call
        self._authority = authority
        self._policy = policy
        self._folder = folder
        self._journal = _Journal(folder)

    def enrol(self, station: str, _arn: str) -> None:
        pem = self._certificate(station)
        try:
            arn = self._call("RegisterCertificateWithoutCA", certificatePem=pem.decode(), status="ACTIVE")[
                "certificateArn"
            ]
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise
            # An enrolment that was cut off: go on where it ended.
            described = self._call("DescribeCertificate", certificateId=certificate_id(pem))
            arn = described["certificateDescription"]["certificateArn"]
        self._call("CreateThing", thingName=station)
        self._call("AttachThingPrincipal", thingName=station, principal=arn)
        self._call("AttachPolicy", policyName=self._policy, target=arn)
        self._journal.note(station, arn)

    def _certificate(self, station: str) -> bytes:
        """Its certificate, made if it has none."""
        certificate, key = self._folder / f"{station}.crt", self._folder / f"{station}.key"
        if certificate.is_file() and key.is_file():
            return certificate.read_bytes()
        pair = self._authority.client(station)
        pair.write(certificate, key)
        return pair.certificate

    def remove(self, station: str, arn: str) -> None:
        if arn:
            self.unregister(station, arn)
            self._journal.note(station, "")
        for ending in ("crt", "key"):
            (self._folder / f"{station}.{ending}").unlink(missing_ok=True)

    def unregister(self, station: str, arn: str) -> None:
        identity = arn.rsplit("/", 1)[-1]
        for call in (
            lambda: self._call("DetachPolicy", policyName=self._policy, target=arn),
            lambda: self._call("DetachThingPrincipal", thingName=station, principal=arn),
            lambda: self._call("DeleteThing", thingName=station),
            lambda: self._call("UpdateCertificate", certificateId=identity, newStatus="INACTIVE"),
            lambda: self._call("DeleteCertificate", certificateId=identity, forceDelete=True),
        ):
            _unless_gone(call)


def _control_plane(place: _Place) -> ControlPlane:
    return ControlPlane(place.endpoint, place.region, place.credentials, seconds=30)


def _side_by_side(
    station: _Station, what: _What, items: list[tuple[str, str]], parallel: int
) -> Iterator[str]:
    do = getattr(station, what)
    with ThreadPoolExecutor(parallel) as pool:
        for (name, _), _done in zip(items, pool.map(lambda item: do(*item), items), strict=True):
            yield name


def _unless_gone(call: Callable[[], object]) -> None:
    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise


# --- in another process ------------------------------------------------------

_worker: _Station | None = None


def _start_worker(place: _Place) -> None:
    global _worker  # noqa: PLW0603  # a process pool hands its workers nothing else
    _worker = _Station(
        _control_plane(place), Authority.load_or_create(place.authority, name="known already"),
        place.policy, place.folder,
    )  # fmt: skip


def _in_worker(what: _What, items: list[tuple[str, str]]) -> list[str]:
    assert _worker  # noqa: S101  # the pool has started it
    return list(_side_by_side(_worker, what, items, _PARALLEL))
