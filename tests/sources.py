"""A copy of the sources, for tests that change them."""

import shutil
import subprocess
from pathlib import Path

from testbed.paths import REPOSITORY


def copy_to(folder: Path) -> None:
    """Copy every file that git tracks, or would track, into ``folder``."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    for file in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / file).is_file():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / file, folder / file)
