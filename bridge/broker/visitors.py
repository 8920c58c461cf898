"""Clients without a certificate: a custom authorizer says who they are, and what they may do."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bridge.authorizers import Shown, decide, find
from bridge.broker.server import Identity
from bridge.clients import Invoke
from bridge.control_plane import ControlPlane
from bridge.policies import Policies
from bridge.registry import home


@dataclass(frozen=True)
class Visitor:
    """Who comes without a certificate: what it shows, and who decides about it (raises `RefusedError`)."""

    shown: Shown
    admit: Callable[[Shown], Awaitable[Identity]]


class Authorizers:
    """Finds the authorizer that a client asks for, or the account's default, and has it decide."""

    def __init__(self, registry: ControlPlane, invoke: Invoke) -> None:
        """Ask the registry for authorizers; ``invoke`` calls their functions."""
        self._registry, self._invoke = registry, invoke
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="authorizers")

    async def any_active(self) -> bool:
        """Return whether there is one at all."""
        call = self._registry.call
        listed = await asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: call("ListAuthorizers", status="ACTIVE")
        )
        return bool(listed["authorizers"])

    async def admit(self, shown: Shown) -> Identity:
        """Return who a client is.

        Raises:
            RefusedError: there is no such authorizer, or it does not let the client in.
            botocore.exceptions.BotoCoreError, ClientError: the control plane does not answer.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._admit, shown)

    def _admit(self, shown: Shown) -> Identity:
        decision = decide(shown, find(self._registry, shown.authorizer), self._invoke)
        return Identity(
            decision.principal,
            "",
            (),
            Policies(decision.policies, home(decision.authorizer_arn)),
            disconnect_after=decision.disconnect_after,
            refresh_after=decision.refresh_after,
        )
