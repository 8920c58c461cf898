"""Every lock file is made by scripts/lock, and none but uv.lock names a registry."""

import re
from pathlib import Path

import pytest

from testbed.paths import REPOSITORY

SOURCES = [
    path
    for folder in ("bench", "docker", "functions", "testbed")
    for path in sorted((REPOSITORY / folder).rglob("*.in"))
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_lock_pins_by_hash_and_is_made_by_the_script(source: Path) -> None:
    locked = source.with_suffix(".txt").read_text()
    pins = re.findall(r"^[a-zA-Z0-9].*", locked, re.MULTILINE)
    assert pins
    assert all(re.match(r"[\w.\[\]-]+==\S+ ", pin) and pin.endswith("\\") for pin in pins)
    assert "://" not in locked
    folder = source.parent.relative_to(REPOSITORY).as_posix()
    script = (REPOSITORY / "scripts" / "lock").read_text()
    assert f"compile {folder} {source.stem} " in script or (folder == "docker" and source.stem in script)


def test_the_lock_of_the_npm_peers_names_no_registry() -> None:
    locked = (REPOSITORY / "bench" / "fleet" / "drivers" / "node" / "package-lock.json").read_text()
    assert '"integrity"' in locked
    assert '"resolved"' not in locked
