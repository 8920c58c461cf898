"""Gets artifacts from Maven Central by the Maven that is installed."""

import shutil
import subprocess
from pathlib import Path

from testbed.errors import TestbedError

_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"


def copy_artifact(coordinates: str, folder: Path) -> None:
    """Put one artifact (``group:artifact:version:packaging:classifier``) into ``folder``.

    Raises:
        TestbedError: there is no Maven, or it could not get it.
    """
    _maven(f"{_PLUGIN}:copy", f"-Dartifact={coordinates}", f"-DoutputDirectory={folder}", folder=folder)


def copy_with_dependencies(coordinates: str, folder: Path) -> None:
    """Put an artifact (``group:artifact:version``) and all that it needs into ``folder``.

    Raises:
        TestbedError: there is no Maven, or it could not get it.
    """
    group, artifact, version = coordinates.split(":")
    folder.mkdir(parents=True, exist_ok=True)
    pom = folder / "pom.xml"
    pom.write_text(
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        "<groupId>testbed</groupId><artifactId>wanted</artifactId><version>1</version>"
        "<packaging>pom</packaging><dependencies><dependency>"
        f"<groupId>{group}</groupId><artifactId>{artifact}</artifactId><version>{version}</version>"
        "</dependency></dependencies></project>"
    )
    _maven(
        f"{_PLUGIN}:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}", folder=folder
    )
    pom.unlink()


def _maven(*arguments: str, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise TestbedError(
            "LocalStack without Docker takes DynamoDB from Maven Central, and there is no mvn on PATH.",
            "Install it (Debian: apt-get install maven; macOS: brew install maven), or use ENGINE=embedded.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [maven, "--quiet", "--batch-mode", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line]
        raise TestbedError(
            f"Maven failed: {said[0].strip() if said else 'it said nothing'}",
            "Maven Central must be reachable.",
        )
