"""What each part of a deployment has used of this machine, as the kernel counted it."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import psutil

from testbed.deploy.deployment import Deployment
from testbed.errors import TestbedError
from testbed.host import processes


@dataclass(frozen=True)
class PerPart:
    """One figure for each part. ``functions`` are the emulator's child processes; on LocalStack, too."""

    broker: float
    bridge: float
    emulator: float
    functions: float
    simulator: float = 0.0


@dataclass
class Usage:
    """CPU seconds of every part so far, and its memory in MiB now."""

    at: float = field(default_factory=time.monotonic)
    cpu: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, deployment: Deployment, simulator: int | None = None, own: Collection[str] = ("broker", "bridge")
    ) -> "Usage":
        """Return what all parts have used until now.

        Args:
            deployment: whose.
            simulator: process id of a fleet, which is a part, too.
            own: the processes that are parts by themselves; others play AWS.
        """
        usage = cls()
        for name, process in deployment.processes.items():
            part = name if name in own else "emulator"
            usage._add(process.family(), part, "functions" if part == "emulator" else part)
        if simulator:
            usage._add(processes.family(simulator), "simulator", "simulator")
        return usage

    def _add(self, members: Sequence[psutil.Process], part: str, children_part: str) -> None:
        if not members:
            raise TestbedError(f"A process of the {part} ended while it was measured.", "See `make logs`.")
        for member in members:
            of = part if member is members[-1] else children_part
            spent = processes.unless_gone(member.cpu_times, None)
            memory = processes.unless_gone(member.memory_info, None)
            self._count(of, spent.user + spent.system if spent else 0.0, memory.rss if memory else 0)
            if spent and member is members[-1]:
                # Children that have ended since, too: their parent's kernel counters have them.
                self._count(children_part, spent.children_user + spent.children_system, 0)

    def _count(self, part: str, cpu: float, rss: int) -> None:
        self.cpu[part] = self.cpu.get(part, 0.0) + cpu
        self.memory[part] = self.memory.get(part, 0.0) + rss / 2**20

    def spent(self, before: "Usage") -> dict[str, float]:
        """Return the CPU seconds of each part since ``before``."""
        return {part: max(0.0, spent - before.cpu.get(part, 0.0)) for part, spent in self.cpu.items()}

    def since(self, before: "Usage") -> tuple[PerPart, PerPart]:
        """Return the cores used since ``before``, and the memory now."""
        seconds = self.at - before.at
        cpu = {part: spent / seconds for part, spent in self.spent(before).items()}
        return PerPart(**cpu), PerPart(**self.memory)
