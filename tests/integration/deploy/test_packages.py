"""The functions' packages with their locked dependencies, from the package registry, as AWS gets them."""

from pathlib import Path

from testbed.deploy import packaging
from testbed.deploy.project import project
from testbed.engines.base import Runtime


def test_all_functions_build_twice_to_the_same_bytes(tmp_path: Path) -> None:
    """With their locked dependencies, for AWS's runtime, in two folders."""
    runtime = Runtime.on_linux("3.13", "arm64")
    assert packaging.build(runtime, tmp_path / "one")
    assert packaging.build(runtime, tmp_path / "two")
    for name, function in project().described.functions.items():
        if function.only_with:
            continue  # switched off: nothing is built
        assert (tmp_path / "one" / f"{name}.zip").read_bytes() == (
            tmp_path / "two" / f"{name}.zip"
        ).read_bytes()
    assert not packaging.build(runtime, tmp_path / "one"), "what is there is not built again"
