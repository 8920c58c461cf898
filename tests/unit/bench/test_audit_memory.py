"""The audit's benchmark, in short; it fails by itself where its books do not notice what is missing."""

import pytest

from bench import audit_memory
from testbed.errors import TestbedError
from testbed.proofs.books import Books


def test_what_was_left_out_of_the_archive_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    audit_memory.run(3000, 10)
    assert "missing 3," in capsys.readouterr().out


def test_books_that_notice_nothing_fail_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Books, "missing", lambda *_: (0, []))
    with pytest.raises(TestbedError, match="0 missing"):
        audit_memory.run(3000, 10)
