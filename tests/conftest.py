"""Which tests share a process where the suite runs in several: those that share what is dear to start."""

import gc
import signal
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# As pytest finds it where the wheel is installed.
pytest_plugins = ["testbed.plugin"]

# What runs against a deployment of the end-to-end tests; and what of it loads or breaks one, and has another.
_DEPLOYED = ("e2e", "faults")
_LOADED = ("tests/faults/", "tests/e2e/test_bench.py", "tests/e2e/test_cost.py", "tests/e2e/test_tutorial.py")

# A shell that runs the suite in the background has it ignore Ctrl-C, and `nohup` a terminal's end, and so would every
# program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes is the machine's business: other programs run on it.
settings.register_profile(
    "testbed", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("testbed")


class _ByWhatIsShared(LoadScopeScheduling):
    # The scheduler's own way to be told. (Its marks for groups, xdist 3.8, do nothing with pytest 9.2.)
    def _split_scope(self, nodeid: str) -> str:
        """Give a scope to each deployment, one to each folder of integration tests, and one to each other file."""
        path = nodeid.partition("::")[0]
        folder, *rest = path.removeprefix("tests/").split("/")
        if folder in _DEPLOYED:
            return "loaded deployment" if path.startswith(_LOADED) else "deployment"
        return f"integration/{rest[0]}" if folder == "integration" else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Use our own scheduler, whatever ``--dist`` says."""
    return _ByWhatIsShared(config, log)


def pytest_collection_finish() -> None:
    """Take the modules and thousands of tests, which stay to the end, out of what the garbage collector looks through.

    That, and looking less often, is an eighth of the CPU time of the unit tests.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


def pytest_unconfigure() -> None:
    """Let Python find at its end what it was told to leave alone: DuckDB prints fifty lines of what it misses."""
    gc.unfreeze()
