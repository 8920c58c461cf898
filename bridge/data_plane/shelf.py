"""Resources of AWS IoT's control plane that the emulator has not: JSON documents with names, dates and tags."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from bridge.data_plane.errors import ServiceError
from bridge.data_plane.store import Store

_TABLES = """
CREATE TABLE IF NOT EXISTS shelf (
    kind TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
    created REAL NOT NULL, modified REAL NOT NULL, tags TEXT NOT NULL,
    PRIMARY KEY (kind, name)
);
"""
_PAGE = 250


class Shelf:
    """The resources of one kind."""

    def __init__(self, store: Store, kind: str, arn_prefix: str) -> None:
        """Use the store.

        Args:
            store: where they are kept.
            kind: as ARNs have it, such as ``rolealias``.
            arn_prefix: ``arn:aws:iot:<region>:<account>:``.
        """
        self._store, self._kind, self._prefix = store, kind, f"{arn_prefix}{kind}/"
        store.db.executescript(_TABLES)

    def arn(self, name: str) -> str:
        """Return the ARN of a name."""
        return self._prefix + name

    def name_of(self, arn: str) -> str | None:
        """Return the name in an ARN of this kind, or None."""
        return arn.removeprefix(self._prefix) if arn.startswith(self._prefix) else None

    def add(self, name: str, document: Mapping[str, Any], tags: list[dict[str, str]]) -> None:
        """Put one there.

        Raises:
            ServiceError: there is one of that name.
        """
        if self.find(name) is not None:
            raise ServiceError(
                "ResourceAlreadyExistsException",
                f"{self.arn(name)} already exists",
                resourceId=name,
                resourceArn=self.arn(name),
            )
        now = time.time()
        row = (self._kind, name, json.dumps(document), now, now, json.dumps(tags))
        self._store.db.execute("INSERT INTO shelf VALUES (?, ?, ?, ?, ?, ?)", row)

    def find(self, name: str) -> dict[str, Any] | None:
        """Return a document, its dates among its members; None if there is none."""
        row = self._store.db.execute(
            "SELECT document, created, modified FROM shelf WHERE kind = ? AND name = ?", (self._kind, name)
        ).fetchone()
        return row and {**json.loads(row[0]), "creationDate": row[1], "lastModifiedDate": row[2]}

    def get(self, name: str) -> dict[str, Any]:
        """Return a document as `find` does.

        Raises:
            ServiceError: there is none.
        """
        found = self.find(name)
        if found is None:
            raise ServiceError("ResourceNotFoundException", f"{self.arn(name)} does not exist")
        return found

    def change(self, name: str, **members: Any) -> None:
        """Set members of a document; those that are None stay as they are.

        Raises:
            ServiceError: there is none.
        """
        old = self.get(name)
        del old["creationDate"], old["lastModifiedDate"]
        new = old | {key: value for key, value in members.items() if value is not None}
        self._store.db.execute(
            "UPDATE shelf SET document = ?, modified = ? WHERE kind = ? AND name = ?",
            (json.dumps(new), time.time(), self._kind, name),
        )

    def remove(self, name: str) -> None:
        """Take one away.

        Raises:
            ServiceError: there is none.
        """
        self.get(name)
        self._store.db.execute("DELETE FROM shelf WHERE kind = ? AND name = ?", (self._kind, name))

    def page(self, parameters: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
        """Return names for a listing call (``pageSize``, ``marker``, ``ascendingOrder``), and its ``nextMarker``."""
        rows = self._store.db.execute(
            "SELECT name FROM shelf WHERE kind = ? ORDER BY created, name", (self._kind,)
        )
        names = [row[0] for row in rows]
        if not parameters.get("ascendingOrder"):
            names.reverse()
        if (marker := parameters.get("marker")) in names:
            names = names[names.index(marker) + 1 :]
        size = parameters.get("pageSize", _PAGE)
        return names[:size], {"nextMarker": names[size - 1]} if len(names) > size else {}

    def tags(self, name: str) -> dict[str, str]:
        """Return tags by key.

        Raises:
            ServiceError: there is nothing of that name.
        """
        self.get(name)
        row = self._store.db.execute(
            "SELECT tags FROM shelf WHERE kind = ? AND name = ?", (self._kind, name)
        ).fetchone()
        return {tag["Key"]: tag.get("Value", "") for tag in json.loads(row[0])}

    def set_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Replace the tags."""
        listed = json.dumps([{"Key": key, "Value": value} for key, value in tags.items()])
        self._store.db.execute(
            "UPDATE shelf SET tags = ? WHERE kind = ? AND name = ?", (listed, self._kind, name)
        )


class Tags:
    """The operations of ``iot`` on the tags of what is on shelves."""

    def __init__(self, *shelves: Shelf) -> None:
        """Serve these."""
        self._shelves = shelves

    def operations(self) -> dict[str, Callable[[Mapping[str, Any]], Any]]:
        """Return the operations by name."""
        return {
            "ListTagsForResource": self.list_tags,
            "TagResource": self.tag,
            "UntagResource": self.untag,
        }

    async def list_tags(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``ListTagsForResource``."""
        shelf, name = self._find(parameters["resourceArn"])
        return {"tags": [{"Key": key, "Value": value} for key, value in shelf.tags(name).items()]}

    async def tag(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``TagResource``."""
        shelf, name = self._find(parameters["resourceArn"])
        more = {tag["Key"]: tag.get("Value", "") for tag in parameters["tags"]}
        shelf.set_tags(name, shelf.tags(name) | more)
        return {}

    async def untag(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out ``UntagResource``."""
        shelf, name = self._find(parameters["resourceArn"])
        kept = {key: value for key, value in shelf.tags(name).items() if key not in parameters["tagKeys"]}
        shelf.set_tags(name, kept)
        return {}

    def _find(self, arn: str) -> tuple[Shelf, str]:
        for shelf in self._shelves:
            if (name := shelf.name_of(arn)) is not None:
                return shelf, name
        raise ServiceError("ResourceNotFoundException", f"{arn} does not exist")
