"""The sources: every file that git tracks, or would track."""

import shutil
import subprocess
from pathlib import Path

from testbed.paths import REPOSITORY


def listed() -> list[Path]:
    """Return the files that git tracks, or would track, relative to the repository."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
        text=True,
    )
    return [Path(file) for file in done.stdout.split("\0") if file and (REPOSITORY / file).is_file()]


def copy_to(folder: Path) -> None:
    """Copy all of them into ``folder``, for tests that change them."""
    for file in listed():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / file, folder / file)
