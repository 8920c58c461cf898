"""Knows certificates from AWS IoT's registry, and the testbed's own from its fingerprint."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from bridge.broker.connection import ClientConnection
from bridge.broker.server import Identity
from bridge.policies import Policies
from bridge.registry import Principal, Registry

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
# What comes while the registry is asked waits, and is asked about together: so many certificates in one call.
_AT_ONCE, _CALLS_AT_ONCE = 250, 2
# Where the registry knows only AWS's calls, which are about one certificate.
_THREADS = 8


class RegistryGuard:
    """Asks the registry at each CONNECT, and looks for deactivated and deleted certificates.

    Every two seconds; of tens of thousands, or on a machine that is short of CPU, every ten.
    """

    def __init__(self, registry: Registry, trusted: frozenset[str]) -> None:
        """``trusted`` are the ids of certificates that may do everything: the bridge's."""
        self._registry = registry
        self._trusted = trusted
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="registry")
        self._waiting: dict[str, list[asyncio.Future[Principal | None]]] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def identify(self, certificate_id: str, common_name: str) -> Identity | None:
        """See `bridge.broker.server.Guard`."""
        if certificate_id in self._trusted:
            return Identity(certificate_id, common_name, (), Policies(()), trusted=True)
        answer: asyncio.Future[Principal | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(certificate_id, []).append(answer)
        self._ask()
        return _identity(await answer, common_name)

    def _ask(self) -> None:
        """Ask about who waits, if the registry has not enough to do."""
        together = self._registry.answers_together
        while self._waiting and len(self._calls) < (_CALLS_AT_ONCE if together else _THREADS):
            asked = {one: self._waiting.pop(one) for one in self._next(self._waiting)}
            call = asyncio.get_running_loop().create_task(self._answer(asked))
            self._calls.add(call)
            call.add_done_callback(self._end)

    def _end(self, call: "asyncio.Task[None]") -> None:
        self._calls.discard(call)
        if not call.cancelled():
            self._ask()

    async def _answer(self, asked: Mapping[str, list["asyncio.Future[Principal | None]"]]) -> None:
        found: dict[str, Principal | None] = {}
        failure: Exception | None = None
        try:
            found = await self._read(list(asked))
        except Exception as error:  # each of them is told
            failure = error
        for certificate_id, answers in asked.items():
            for answer in answers:
                if answer.done():  # it waits no more
                    continue
                if failure:
                    answer.set_exception(failure)
                else:
                    answer.set_result(found[certificate_id])

    async def _read(self, certificate_ids: list[str]) -> dict[str, Principal | None]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._registry.principals, certificate_ids)

    def _next(self, certificate_ids: Iterable[str]) -> list[str]:
        """Take as many as one call is about."""
        return list(islice(certificate_ids, _AT_ONCE if self._registry.answers_together else 1))

    async def follow(self, connected: Callable[[], Mapping[str, list[ClientConnection]]]) -> None:
        """Give live connections what their certificates may do by now, for ever.

        Args:
            connected: returns the connections by the ids of their certificates.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            living = dict(connected())
            asked = iter([one for one in living if one not in self._trusted])
            while some := self._next(asked):
                begun = loop.time()
                try:
                    found = await self._read(some)
                except Exception as error:  # the control plane is away; what was allowed stays so
                    log.warning("the registry does not answer: %s", error)
                    break
                for certificate_id, principal in found.items():
                    if identity := _identity(principal, ""):
                        for connection in living[certificate_id]:
                            connection.follow(identity)
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


def _identity(principal: Principal | None, common_name: str) -> Identity | None:
    """Return who that is, or None for a certificate that is not ACTIVE."""
    if principal is None or not principal.active:
        return None
    return Identity(principal.certificate_id, common_name, principal.things, principal.policies)
