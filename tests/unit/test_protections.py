"""The list of protections keeps up with the sources."""

import pytest

from testbed.paths import REPOSITORY
from tests.faults.protections import PROTECTIONS, Protection, taken_out


@pytest.mark.parametrize("protection", PROTECTIONS, ids=lambda protection: protection.name)
def test_a_protection_is_there_and_has_a_test(protection: Protection) -> None:
    source = (REPOSITORY / protection.file).read_text()
    assert taken_out(protection, source) != source
    file, _, name = protection.test.partition("::")
    assert f"def {name}(" in (REPOSITORY / file).read_text()
