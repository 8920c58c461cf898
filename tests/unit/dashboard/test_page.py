"""The page's modules in Node.js, where one is: `page.test.mjs`. In a browser: tests/e2e/test_dashboard.py."""

import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.paths import REPOSITORY


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed; the page needs none")
def test_the_pages_logic(tmp_path: Path) -> None:
    # Node.js before 22 takes a .js file for a module only where a package.json says so.
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for file in (*(REPOSITORY / "dashboard").glob("*.js"), Path(__file__).with_name("page.test.mjs")):
        shutil.copy(file, tmp_path)
    done = subprocess.run(
        ["node", "--test"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "# tests 0" not in done.stdout
