"""Which tests share a process where the suite runs in several: those that share what is dear to start."""

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
# What runs against the one deployment of the end-to-end tests.
_DEPLOYED = ("e2e", "faults")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One group for the deployment, one for each folder of integration tests, and one for each other file."""
    for item in items:
        folder, *rest = item.path.relative_to(_HERE).parts
        if folder in _DEPLOYED:
            group = "deployment"
        elif folder == "integration":
            group = f"integration/{rest[0]}"
        else:
            group = "/".join((folder, *rest))
        item.add_marker(pytest.mark.xdist_group(group))
