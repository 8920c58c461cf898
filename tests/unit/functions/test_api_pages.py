"""The API's page tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api_handler.paging import from_token, to_token

station_ids = st.from_regex(r"[A-Za-z0-9:_-]{1,128}", fullmatch=True)


@given(station_ids)
def test_a_token_gives_its_station_back(station_id: str) -> None:
    """Whatever the station is called, its token continues after it."""
    assert from_token(to_token(station_id)) == station_id


@given(station_ids, st.data())
def test_a_changed_token_is_refused(station_id: str, data: st.DataObject) -> None:
    """A token with any one character changed, removed or added is not taken for another."""
    token = to_token(station_id)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABab01-_").filter(lambda letter: letter != token[at]))
    for changed in (token[:at] + other + token[at + 1 :], token[:at] + token[at + 1 :], token + other):
        with pytest.raises(ValueError, match="token"):
            from_token(changed)


@given(st.text())
def test_any_text_is_a_token_or_refused(text: str) -> None:
    """Nothing else happens, whatever the text."""
    with pytest.raises(ValueError, match="token"):
        from_token(text)
