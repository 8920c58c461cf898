"""What is downloaded by a name is pinned, and hashed where the client can: a name alone is whoever holds it."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed.engines.localstack_process import install
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY
from tests.sources import listed

# A command that installs by name -> what must stand in the same command. apt's packages are signed by Debian.
_COMMANDS = {
    r"pip3? install\b": r"--require-hashes\b",
    r"\buv (tool (run|install)|run .*--with)\b": None,
    r"\b(uvx|pipx|npx|bunx)\b": None,
    r"\b(npm|pnpm|yarn) (install|add|i|exec|update)\b": r"--package-lock-only\b",
    r"\bgo (install|get)\b": r"@v\d+\.\d+\.\d+",
    r"\bcargo install\b": r"--locked\b.*--version\b",
    r"\bgem install\b": None,
    r"\b(curl|wget)\b[^|;]*\| *(ba)?sh\b": None,
}
# As much as a command has, of a shell's lines or of a Python list.
_COMMAND_LENGTH = 300
_TEXTS = (".md", ".txt", ".json", ".svg", ".dot", ".html")


def unpinned(text: str) -> Iterator[str]:
    """Yield each command of a script, Dockerfile, workflow or Python list that installs what nothing pins."""
    words = re.sub(r"[\"'`,\[\]()\\\s]+", " ", text)
    for command, pinned_by in _COMMANDS.items():
        for found in re.finditer(command, words):
            rest = words[found.start() : found.start() + _COMMAND_LENGTH]
            if pinned_by is None or not re.search(pinned_by, rest.split("&&")[0]):
                yield rest[:60]


@pytest.mark.parametrize(
    "text",
    [
        "RUN python -m pip install --no-cache-dir uv\n",
        'subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--quiet", NAME])',
        "pip install --require-hashes -r lock.txt && pip install more",
        "exec uvx --from checkov==3.3.30 checkov",
        "uv tool run --from checkov checkov",
        '_install("npm", "install", "--no-audit")',
        "go install example.com/tool@latest",
        '"cargo", "install", "--version", "1.2.3", "mqtt-benchmark"',
        "curl -sSf https://example.com/install | sh",
    ],
)
def test_an_unpinned_install_is_found(text: str) -> None:
    assert list(unpinned(text))


# What a user types to install our wheel, or AWS's device SDK: requirements are ranges, as those of any library.
_AS_A_USER = {
    "bridge/local/up.py",
    "testbed/stations/snippet.py",
    "tests/integration/bridge/test_up.py",
    "tests/integration/examples/test_own_project.py",
}


def test_no_file_installs_what_nothing_pins() -> None:
    found = {
        str(file): commands
        for file in listed()
        if file.suffix not in _TEXTS and file.name not in ("uv.lock", Path(__file__).name)
        if str(file) not in _AS_A_USER
        if (commands := list(unpinned((REPOSITORY / file).read_text(errors="replace"))))
    }
    assert found == {}


def test_each_list_of_python_packages_has_a_lock_with_hashes() -> None:
    for wanted in (file for file in listed() if file.suffix == ".in"):
        lock = (REPOSITORY / wanted).with_suffix(".txt").read_text()
        pins = re.split(
            r"^(?=[A-Za-z0-9])", re.sub(r"^ *#.*\n", "", lock, flags=re.MULTILINE), flags=re.MULTILINE
        )
        unhashed = [
            pin for pin in pins if pin.strip() and not re.match(r"\S+==[^\n]+\\\n +--hash=sha256:", pin)
        ]
        assert len(pins) > 1, wanted
        assert unhashed == [], wanted


def test_each_package_of_node_has_a_hash_and_no_registry_is_named() -> None:
    manifests = [file for file in listed() if file.name == "package.json"]
    assert manifests
    for manifest in manifests:
        lock = json.loads((REPOSITORY / manifest).with_name("package-lock.json").read_text())["packages"]
        wanted = json.loads((REPOSITORY / manifest).read_text())["dependencies"]
        assert lock.pop("")["dependencies"] == wanted
        assert all(package["integrity"].startswith("sha512-") for package in lock.values())
        assert not any("resolved" in package for package in lock.values())


def test_the_first_uv_is_the_locked_one() -> None:
    locked = {
        each["name"]: each["version"]
        for each in tomllib.loads((REPOSITORY / "uv.lock").read_text())["package"]
    }
    assert f"uv=={locked['uv']} " in (REPOSITORY / "scripts" / "uv.txt").read_text()


@pytest.mark.parametrize("change", ["another file", "other content", "a file less"])
def test_what_maven_brings_is_held_against_its_hashes(tmp_path: Path, change: str) -> None:
    jars, sums = tmp_path / "jars", tmp_path / "sums"
    jars.mkdir()
    (jars / "a.jar").write_bytes(b"a")
    sums.write_text("ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb  a.jar\n")
    install.check_sums(jars, sums)
    if change == "a file less":
        (jars / "a.jar").unlink()
    else:
        (jars / ("a.jar" if change == "other content" else "b.jar")).write_bytes(b"b")
    with pytest.raises(TestbedError, match="from Maven Central"):
        install.check_sums(jars, sums)
