"""What enrolment does for one station, here or in a process of a pool; without boto3, whose import costs each one."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from bridge.authority import Authority, append, certificate_id
from bridge.control_plane import ControlPlane

What = Literal["enrol", "remove"]
# Threads of a process: they wait for the emulator's one process.
PARALLEL = 2
# How AWS IoT refuses to delete a thing, and a certificate, that something is attached to.
_STILL_ATTACHED = frozenset({"InvalidRequestException", "DeleteConflictException"})
_DETACH_PAUSES = (0.5, 1, 2, 4, 8, 8, 8)


class Calls(Protocol):
    """Calls the control plane, through boto3 or without."""

    def call(self, operation: str, **parameters: Any) -> Any:
        """Call an operation."""


@dataclass(frozen=True)
class Site:
    """Where stations are enrolled: what another process needs to enrol at the same control plane."""

    credentials: ReadOnlyCredentials
    region: str
    endpoint: str
    authority: Path
    policy: str
    folder: Path

    def calls(self) -> ControlPlane:
        """For the calls there."""
        return ControlPlane(self.endpoint, self.region, self.credentials, seconds=30)


class Journal:
    """The certificates' ARNs of the stations that are enrolled: a line for each that came or went.

    One file for a fleet; lines are appended whole, by as many processes as enrol.
    """

    def __init__(self, folder: Path) -> None:
        """Keep it in the stations' folder."""
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
        """Note a station that is enrolled, or (without an ARN) removed."""
        append(self._path, msgspec.json.encode((station, arn)) + b"\n")


class Registrar:
    """Registers and removes one station at a time."""

    def __init__(self, calls: Calls, authority: Authority, policy: str, folder: Path) -> None:
        """Take what `testbed.identity.enrolment.Enrolment` takes."""
        self._call = calls.call
        self._authority = authority
        self._policy = policy
        self._folder = folder
        self._journal = Journal(folder)
        # Things that were there before: they are not deleted with the device.
        self._others = folder / "others-things.txt"

    def enrol(self, station: str, _arn: str = "") -> None:
        """Make key and certificate if they are not there, register, attach."""
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
        self._create(station)
        self._call("AttachThingPrincipal", thingName=station, principal=arn)
        self._call("AttachPolicy", policyName=self._policy, target=arn)
        self._journal.note(station, arn)

    def _create(self, station: str) -> None:
        """Create the thing, if it is not there with attributes or a type: then Terraform, or its user, keeps it."""
        try:
            self._call("CreateThing", thingName=station)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
                raise
            append(self._others, f"{station}\n".encode())

    def _certificate(self, station: str) -> bytes:
        """Its certificate, made if it has none."""
        certificate, key = self._folder / f"{station}.crt", self._folder / f"{station}.key"
        if certificate.is_file() and key.is_file():
            return certificate.read_bytes()
        pair = self._authority.client(station)
        pair.write(certificate, key)
        return pair.certificate

    def remove(self, station: str, arn: str) -> None:
        """Undo that, files included; without an ARN only these."""
        if arn:
            self.unregister(station, arn)
            self._journal.note(station, "")
        for ending in ("crt", "key"):
            (self._folder / f"{station}.{ending}").unlink(missing_ok=True)

    def unregister(self, station: str, arn: str) -> None:
        """Remove certificate and thing; what is gone already is no error.

        The certificate is deactivated first: whatever fails after that, the station stays out. A detachment takes AWS
        some seconds after its answer ("DetachThingPrincipal", AWS IoT API reference), and until then it refuses the
        deletes of both: they are tried again.
        """
        identity = arn.rsplit("/", 1)[-1]
        ours = not self._others.is_file() or station not in self._others.read_text().split()
        for call in (
            lambda: self._call("UpdateCertificate", certificateId=identity, newStatus="INACTIVE"),
            lambda: self._call("DetachPolicy", policyName=self._policy, target=arn),
            lambda: self._call("DetachThingPrincipal", thingName=station, principal=arn),
            lambda: self._call("DeleteThing", thingName=station) if ours else None,
            lambda: self._call("DeleteCertificate", certificateId=identity, forceDelete=True),
        ):
            _until_detached(call)


def side_by_side(
    station: Registrar, what: What, items: list[tuple[str, str]], parallel: int
) -> Iterator[str]:
    """Do it for each (station, ARN) on so many threads; those that are done, in order."""
    do = getattr(station, what)
    with ThreadPoolExecutor(parallel) as pool:
        for (name, _), _done in zip(items, pool.map(lambda item: do(*item), items), strict=True):
            yield name


def _until_detached(call: Callable[[], object]) -> None:
    """Make a call; wait while a detachment is under way, and take what is gone for removed."""
    for pause in (*_DETACH_PAUSES, None):
        try:
            call()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ResourceNotFoundException":
                return
            if pause is None or code not in _STILL_ATTACHED:
                raise
            time.sleep(pause)
        else:
            return


# --- in a process of a pool --------------------------------------------------

_worker: Registrar | None = None


def start_worker(place: Site) -> None:
    """Get ready for `in_worker`."""
    global _worker  # noqa: PLW0603  # a process pool hands its workers nothing else
    _worker = Registrar(
        place.calls(),
        Authority.load_or_create(place.authority, name="known already"),
        place.policy,
        place.folder,
    )


def in_worker(what: What, items: list[tuple[str, str]]) -> list[str]:
    """`side_by_side` in this process."""
    assert _worker  # noqa: S101  # the pool has started it
    return list(side_by_side(_worker, what, items, PARALLEL))
