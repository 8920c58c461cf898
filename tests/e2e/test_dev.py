"""`make dev`: a saved handler answers a moment later, a mistake is told in a line, and the watching goes on."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.deploy import dev
from testbed.deploy.deployment import Deployment
from testbed.paths import state_root
from testbed.pipeline import api
from tests.e2e.conftest import wait_for
from tests.sources import copy_to


class Watch:
    """A running `make dev` on a copy of the sources, against the tests' own deployment."""

    def __init__(self, sources: Path, deployment: Deployment) -> None:
        self.sources = sources
        self.said: list[str] = []
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "testbed", "dev"],
            cwd=sources,
            env=os.environ
            | {"DEPLOYMENT": deployment.name, "ENGINE": deployment.cloud_name}
            | {"TESTBED_HOME": str(state_root()), "PYTHONPATH": str(sources)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            self.said.extend(lines)

    def says(self, words: str) -> bool:
        """Tell whether it says them in time; its `up` takes a minute on a busy machine."""
        return bool(wait_for(lambda: any(words in line for line in self.said), seconds=180))

    def save(self, file: str, text: str) -> None:
        """Save a file, as an editor does."""
        self.said.clear()
        (self.sources / file).write_text(text)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()


@pytest.fixture
def watched(deployment: Deployment, tmp_path: Path) -> Iterator[Watch]:
    """`make dev`, ready; what it deployed is replaced by the repository's own again."""
    if deployment.target == "aws":
        pytest.skip("`make dev` is for local deployments")
    copy_to(tmp_path)
    watch = Watch(tmp_path, deployment)
    try:
        assert watch.says("Watching"), watch.said
        yield watch
    finally:
        watch.stop()
        dev.reload(deployment)


def test_a_saved_handler_is_live_and_a_mistake_is_a_line(deployment: Deployment, watched: Watch) -> None:
    file = "functions/api_handler/routes.py"
    original = (watched.sources / file).read_text()
    changed = original.replace(
        '"/openapi.json": _description,', '"/openapi.json": _description, "/new": _description,'
    )
    assert changed != original
    assert api.get(deployment, "/new")[0] == 404

    watched.save(file, changed)
    assert watched.says("live in"), watched.said
    assert api.get(deployment, "/new")[0] == 200

    watched.save(file, changed + "\ndef broken(:\n")
    assert watched.says(f"not live: {file}:"), watched.said
    assert api.get(deployment, "/new")[0] == 200

    watched.save(file, changed + "\nimport no_such_module\n")
    assert watched.says("cannot be loaded"), watched.said

    watched.save(file, original)
    assert watched.says("live in"), watched.said
    assert api.get(deployment, "/new")[0] == 404
