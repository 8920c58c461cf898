"""Knows certificates from AWS IoT's registry, and the testbed's own from its fingerprint."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bridge.broker.connection import ClientConnection
from bridge.broker.server import Identity
from bridge.policies import Policies
from bridge.registry import Registry

log = logging.getLogger(__name__)

_POLL_SECONDS = 2.0
# Of a long list reading takes a while, in which the loop waits for the interpreter: at most so great a part of the
# time, and a deactivated certificate is noticed within so many seconds still.
_POLL_SHARE, _POLL_SECONDS_AT_MOST = 1 / 20, 10.0
# Who is connected is asked about again in turn, in so great a part of the time: seconds for a few devices, minutes for
# thousands, as on AWS. Where an answer takes long the pause is this at most.
_FOLLOW_SHARE, _FOLLOW_PAUSE_AT_MOST = 1 / 50, 2.0
# A new version of a policy does not wait for its certificates' turn; so many policies are read again every two seconds,
# those that most connections have.
_MOST_POLICIES = 20


class RegistryGuard:
    """Asks the registry at each CONNECT, and looks for deactivated and deleted certificates.

    Every two seconds; of tens of thousands, or on a machine that is short of CPU, every ten.
    """

    def __init__(self, registry: Registry, trusted: frozenset[str]) -> None:
        """``trusted`` are the ids of certificates that may do everything: the bridge's."""
        self._registry = registry
        self._trusted = trusted
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="registry")

    async def identify(self, certificate_id: str, common_name: str) -> Identity | None:
        """See `bridge.broker.server.Guard`."""
        if certificate_id in self._trusted:
            return Identity(certificate_id, common_name, (), Policies(()), trusted=True)
        loop = asyncio.get_running_loop()
        principal = await loop.run_in_executor(self._pool, self._registry.principal, certificate_id)
        if principal is None or not principal.active:
            return None
        return Identity(certificate_id, common_name, principal.things, principal.policies)

    async def follow(self, connected: Callable[[], Mapping[str, list[ClientConnection]]]) -> None:
        """Give live connections what their certificates may do by now, for ever.

        Args:
            connected: returns the connections by the ids of their certificates.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            for certificate_id, connections in connected().items():
                begun = loop.time()
                try:
                    found = await self.identify(certificate_id, "")
                except Exception as error:  # the control plane is away; what was allowed stays so
                    log.warning("the registry does not answer: %s", error)
                    break
                if found is not None:
                    for connection in connections:
                        connection.follow(found)
                await asyncio.sleep(min((loop.time() - begun) / _FOLLOW_SHARE, _FOLLOW_PAUSE_AT_MOST))

    async def follow_versions(self, connected: Callable[[], Mapping[str, list[ClientConnection]]]) -> None:
        """Give live connections the new versions of the policies that most of them have, for ever.

        Args:
            connected: returns the connections by the ids of their certificates.
        """
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            try:
                await self._renew([one for connections in connected().values() for one in connections])
            except Exception as error:  # the control plane is away, or a policy was deleted: its turn comes
                log.info("policies cannot be read again: %s", error)

    async def _renew(self, connections: list[ClientConnection]) -> None:
        held = Counter(
            policy.name
            for one in connections
            if one.identity
            for policy in one.identity.policies.all
            if policy.name
        )
        names = [name for name, _ in held.most_common(_MOST_POLICIES)]
        loop = asyncio.get_running_loop()
        read = {name: await loop.run_in_executor(self._pool, self._registry.policy, name) for name in names}
        for one in connections:
            if one.identity:
                policies = one.identity.policies.renewed(lambda policy: read.get(policy.name, policy))
                if policies is not one.identity.policies:
                    one.follow(replace(one.identity, policies=policies))

    async def watch(self, disconnect: Callable[[set[str]], None]) -> None:
        """Hand every newly deactivated or deleted certificate to ``disconnect``, for ever."""
        loop = asyncio.get_running_loop()
        known: dict[str, bool] = {}
        pause = _POLL_SECONDS
        while True:
            await asyncio.sleep(pause)
            begun = loop.time()
            try:
                certificates = await loop.run_in_executor(self._pool, self._registry.certificates)
            except Exception as error:  # the control plane is away; new connections are refused
                log.warning("the registry does not answer: %s", error)
                continue
            pause = min(max(_POLL_SECONDS, (loop.time() - begun) / _POLL_SHARE), _POLL_SECONDS_AT_MOST)
            # One that was deactivated and deleted between two looks is simply not there any more.
            gone = {identity for identity in known if known[identity] and not certificates.get(identity)}
            new = {identity for identity in certificates.keys() - known.keys() if not certificates[identity]}
            if gone | new:
                disconnect(gone | new)
            known = certificates
            self._registry.forget_policies()
