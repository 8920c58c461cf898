"""Enrols stations at AWS IoT: a thing, a certificate of its own and the thing policy; and removes them.

The same four calls on every target, in parallel. Locally CPU is what they take: they are made without boto3 (see
`bridge.control_plane`), and several processes share a large fleet. On AWS it is the account's rates
(`testbed.identity.rates`).

Fewer calls would not help on AWS: RegisterThing does all four and is held to 10 a second itself, and a policy on a
thing group saves AttachPolicy (15 a second), where the certificate's registration (10) is the slowest. ministack
1.5.33 has no RegisterThing.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import boto3

from bridge.authority import Authority, certificate_id
from testbed.identity.rates import PacedControlPlane
from testbed.identity.registration import (
    PARALLEL,
    Calls,
    Journal,
    Registrar,
    Site,
    What,
    in_worker,
    side_by_side,
    start_worker,
)

# On AWS calls wait for the network, and for their turn.
_PARALLEL_AT_AWS = 16
# From so many on other processes take part; their start costs half a second.
_MANY = 200
_BATCH = 50


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
        self._site: Site | None = None
        if endpoint is None:
            self._calls: Calls = PacedControlPlane(session, parallel=_PARALLEL_AT_AWS)
        else:
            credentials = session.get_credentials()
            assert credentials  # noqa: S101  # a local endpoint's session has made ones
            self._site = Site(
                credentials.get_frozen_credentials(),
                session.region_name,
                endpoint,
                authority.path.parent,
                policy,
                folder,
            )
            self._calls = self._site.calls()
        self._journal = Journal(folder)
        self._registrar = Registrar(self._calls, authority, policy, folder)
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
        """Return the stations that this folder knows."""
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
                self._registrar.unregister(thing, arn)
                removed += 1
        return removed

    def _targets(self) -> Iterator[str]:
        """Yield the certificates that have our policy."""
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

    def _all(self, what: What, stations: Mapping[str, str]) -> Iterator[str]:
        """Do it for all (ARN by station); those that are done, in order."""
        items = list(stations.items())
        if self._site is None or len(items) < _MANY:
            parallel = PARALLEL if self._site else _PARALLEL_AT_AWS
            yield from side_by_side(self._registrar, what, items, parallel)
            return
        batches = [items[first : first + _BATCH] for first in range(0, len(items), _BATCH)]
        with ProcessPoolExecutor(
            os.cpu_count(), multiprocessing.get_context("spawn"), start_worker, (self._site,)
        ) as pool:
            for done in pool.map(in_worker, [what] * len(batches), batches):
                yield from done
