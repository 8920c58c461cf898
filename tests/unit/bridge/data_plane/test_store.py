"""What a killed data plane left is told from what is new (bridge/data_plane/store.py)."""

from pathlib import Path

import pytest

from bridge.data_plane.store import Redeliveries, Store


@pytest.mark.parametrize(
    ("handled", "arriving", "again"),
    [
        (["a", "b", "c"], ["a", "b", "c", "d"], [True, True, True, False]),
        (["a", "b", "c"], ["c", "d"], [True, False]),
        (["a", "b", "c"], ["d", "a"], [False, False]),
        (["a", "a", "b"], ["a", "b", "a"], [True, True, False]),
        ([], ["a"], [False]),
    ],
)
def test_requests_come_again_in_order_and_before_new_ones(
    handled: list[str], arriving: list[str], again: list[bool]
) -> None:
    redeliveries = Redeliveries([one.encode() for one in handled])
    assert [redeliveries.came_again(one.encode()) for one in arriving] == again


def _fail_inside(store: Store) -> None:
    with store.transaction():
        store.answer("b", b"2")
        raise OSError("inner")


def test_what_was_committed_is_there_after_the_process_ends_and_what_failed_is_not(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.sqlite")
    with store.transaction():
        store.answer("a", b"1")
        with pytest.raises(OSError, match="inner"):
            _fail_inside(store)
        store.note_handled(b"x")
    # Not closed, as by a kill.
    again = Store(tmp_path / "store.sqlite")
    assert [(one.topic, one.payload) for one in again.answers(0, 10)] == [("a", b"1")]
    assert again.handled() == [b"x"]
    again.confirm_handled(again.newest_handled())
    assert again.handled() == []
    store.close()
    again.close()
