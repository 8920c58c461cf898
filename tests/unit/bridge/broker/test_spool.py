"""The spool: what was appended survives, in order, whatever happens to the process."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.broker import spool as module
from bridge.broker.spool import Spool


def contents(spool: Spool) -> list[tuple[bytes, bytes]]:
    return [spool.read(entry)[:2] for entry in spool.waiting]


def test_what_waits_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    for number in range(5):
        first.append(b"topic", b"%d" % number)
    first.done(first.waiting.popleft())
    # No close: the process is dead.
    assert contents(Spool(tmp_path)) == [(b"topic", b"%d" % number) for number in range(1, 5)]


def test_a_record_that_was_cut_in_two_is_forgotten_and_the_rest_stays(tmp_path: Path) -> None:
    """It was never acknowledged, so it is nobody's."""
    first = Spool(tmp_path)
    first.append(b"a", b"whole")
    first.append(b"b", b"x" * 100)
    [path] = tmp_path.glob("*.spool")
    path.write_bytes(path.read_bytes()[:-1])
    second = Spool(tmp_path)
    assert contents(second) == [(b"a", b"whole")]
    second.append(b"c", b"new")
    assert contents(Spool(tmp_path)) == [(b"a", b"whole"), (b"c", b"new")]


def test_delivered_segments_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk does not fill with what is delivered."""
    monkeypatch.setattr(module, "_SEGMENT_BYTES", 1000)
    spool = Spool(tmp_path)
    for _ in range(200):
        spool.append(b"t", b"x" * 90)
        spool.done(spool.waiting.popleft())
    assert sum(path.stat().st_size for path in tmp_path.glob("*.spool")) < 3000
    assert contents(Spool(tmp_path)) == []


def test_a_full_disk_is_an_error_and_costs_nothing_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher is then not acknowledged, and sends again."""
    spool = Spool(tmp_path)
    spool.append(b"t", b"first")
    write = module.os.write
    with monkeypatch.context() as full:
        full.setattr(module.os, "write", lambda handle, data: write(handle, data[:7]))
        with pytest.raises(OSError, match="full"):
            spool.append(b"t", b"second")
    spool.append(b"t", b"third")
    assert contents(spool) == contents(Spool(tmp_path)) == [(b"t", b"first"), (b"t", b"third")]


@settings(max_examples=50, deadline=None)
@given(steps=st.lists(st.sampled_from(["append", "deliver", "deliver later", "restart"]), max_size=60))
def test_any_order_of_deliveries_and_restarts_loses_nothing(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against the obvious model: a list."""
    folder = tmp_path_factory.mktemp("spool")
    spool, model = Spool(folder), []
    for number, step in enumerate(steps):
        if step == "append":
            spool.append(b"t", b"%d" % number)
            model.append(b"%d" % number)
        elif step == "restart":
            spool = Spool(folder)
        elif spool.waiting:
            index = 0 if step == "deliver" else len(spool.waiting) - 1
            entry = spool.waiting[index]
            del spool.waiting[index]
            spool.done(entry)
            del model[index]
        assert [payload for _, payload in contents(spool)] == model
