"""What the data plane knows, in one SQLite file: state, answers on their way, and requests just dealt with.

Written with a write-ahead log and without ``fsync`` at each commit: it survives the death of the process, as the
broker's spool does, and not a power cut.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS handled (id INTEGER PRIMARY KEY AUTOINCREMENT, digest BLOB NOT NULL);
"""


@dataclass(frozen=True)
class Answer:
    """A message on its way to the broker; ``number`` grows in the order in which it must go."""

    number: int
    topic: str
    payload: bytes


class Store:
    """One file, used from one thread."""

    def __init__(self, path: Path) -> None:
        """Open or make it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is written inside, or nothing of it if it raises; may be nested."""
        name = "inner" if self.db.in_transaction else "outer"
        begin, end, undo = {
            "outer": ("BEGIN IMMEDIATE", "COMMIT", ("ROLLBACK",)),
            "inner": ("SAVEPOINT inner", "RELEASE inner", ("ROLLBACK TO inner", "RELEASE inner")),
        }[name]
        self.db.execute(begin)
        try:
            yield
        except BaseException:
            for statement in undo:
                self.db.execute(statement)
            raise
        self.db.execute(end)

    # --- answers -----------------------------------------------------------------

    def answer(self, topic: str, payload: bytes) -> None:
        """Have a message published when the transaction is committed, and again after a restart if it was not."""
        self.db.execute("INSERT INTO outbox (topic, payload) VALUES (?, ?)", (topic, payload))

    def answers(self, after: int, most: int) -> list[Answer]:
        """Return what is to be published, in order, from behind a number on."""
        rows = self.db.execute(
            "SELECT id, topic, payload FROM outbox WHERE id > ? ORDER BY id LIMIT ?", (after, most)
        )
        return [Answer(*row) for row in rows]

    def answered(self, numbers: Iterable[int]) -> None:
        """Forget answers that the broker has."""
        self.db.executemany("DELETE FROM outbox WHERE id = ?", [(number,) for number in numbers])

    # --- requests that may come again --------------------------------------------

    def note_handled(self, digest: bytes) -> None:
        """Note in a request's transaction that it is dealt with."""
        self.db.execute("INSERT INTO handled (digest) VALUES (?)", (digest,))

    def newest_handled(self) -> int:
        """Return the number of the newest note, or 0."""
        return int(self.db.execute("SELECT COALESCE(MAX(id), 0) FROM handled").fetchone()[0])

    def handled(self) -> list[bytes]:
        """Return the digests of the requests whose acknowledgement the broker may not have, oldest first."""
        return [row[0] for row in self.db.execute("SELECT digest FROM handled ORDER BY id")]

    def confirm_handled(self, number: int) -> None:
        """Forget notes up to this one: the broker has the acknowledgements."""
        self.db.execute("DELETE FROM handled WHERE id <= ?", (number,))


class Redeliveries:
    """Tells requests that come a second time, after a connection ended, from new ones.

    A broker sends again what was not acknowledged, in the old order and before anything new. What was dealt with and
    perhaps acknowledged is in the store; so a request equal to one of those is that one, and the first request that
    is not ends the matter.
    """

    def __init__(self, handled: Iterable[bytes] = ()) -> None:
        """Take the digests of requests that may come again, oldest first."""
        self._handled = list(handled)

    def came_again(self, digest: bytes) -> bool:
        """Return whether a request was dealt with over the last connection."""
        try:
            self._handled = self._handled[self._handled.index(digest) + 1 :]
        except ValueError:
            self._handled = []
            return False
        return True


def digest(topic: str, payload: bytes, publisher: str | None) -> bytes:
    """Return what is the same if a message is."""
    head = f"{publisher}\0{topic}\0".encode()
    return hashlib.blake2b(head + payload, digest_size=16).digest()
