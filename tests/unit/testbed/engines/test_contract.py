"""What differs by engine is said by the engine, and by nobody else."""

import re
from pathlib import Path

import pytest

from testbed.engines import choice
from testbed.engines.base import EngineName, Place, Ports
from testbed.errors import TestbedError
from testbed.paths import REPOSITORY

# A comparison with an engine's name, one as a literal, or one in place of none.
ASKS = re.compile(r"\bengine(_name)? (==|!=|in \()|[\"'](embedded|compose)[\"']|\bengine(_name)? or [\"']")


def product() -> list[Path]:
    """List the sources of testbed and bench, without the engines' own."""
    engines = REPOSITORY / "testbed" / "engines"
    found = [path for folder in ("testbed", "bench") for path in (REPOSITORY / folder).rglob("*.py")]
    return [path for path in found if not path.is_relative_to(engines)]


def test_nobody_but_the_engines_asks_which_engine_it_is() -> None:
    asked = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for path in product()
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if ASKS.search(line)
    ]
    assert not asked, "\n".join(asked)


@pytest.mark.parametrize("name", choice.NAMES)
def test_an_engine_is_found_by_its_name_and_names_its_versions(name: EngineName) -> None:
    engine = choice.engine(name)
    assert engine.name == name
    assert engine.cloud in engine.versions()
    assert 0 < engine.pace <= 1


@pytest.mark.parametrize(
    ("name", "where"),
    [("embedded", ""), ("localstack", "http://127.0.0.1:7"), ("compose", "http://data-plane:9443")],
)
def test_functions_find_iot_data_on_every_engine(name: EngineName, where: str, tmp_path: Path) -> None:
    """Empty is `AWS_ENDPOINT_URL`, which a port that checks the caller's policies has; LocalStack's has no iot-data."""
    place = Place(tmp_path, Ports(aws=1, mqtt=2, metrics=3, data=7), "eu-central-1")
    assert choice.engine(name).endpoints(place).iot_data == where


def test_what_an_engine_lacks_is_refused_with_a_remedy() -> None:
    choice.engine("embedded").lacks.refuse("enforced IAM")
    for name in ("localstack", "compose"):
        with pytest.raises(TestbedError, match="paid tiers") as refused:
            choice.engine(name).lacks.refuse("enforced IAM")
        assert "ENGINE=embedded" in refused.value.remedy
    with pytest.raises(TestbedError, match="yours"):
        choice.engine("external").lacks.refuse("faults")
