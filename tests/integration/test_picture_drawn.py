"""docs/architecture.svg is what its source draws."""

import subprocess
from pathlib import Path

from testbed.paths import REPOSITORY


def test_the_picture_is_not_stale(tmp_path: Path) -> None:
    drawn = tmp_path / "architecture.svg"
    subprocess.run([REPOSITORY / "scripts" / "picture", drawn], check=True)
    assert drawn.read_bytes() == (REPOSITORY / "docs" / "architecture.svg").read_bytes(), "run: make docs"
