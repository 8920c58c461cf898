"""hashicorp/archive: a zip of a file, a folder or texts, with the same bytes for the same content."""

import base64
import hashlib
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from typing import ClassVar

from base import FLAG, NUMBER, TEXT, Made, Read, State, UnsupportedError, computed, given, needed, preset
from files import write
from tf.blocks import SetNestedBlock
from tf.schema import Attribute, Block
from tf.types import Set

_TIME = (2049, 1, 1, 0, 0, 0)


class _Archive:
    name: ClassVar[str] = "file"
    attributes: ClassVar[list[Attribute]] = [
        needed("type"),
        needed("output_path"),
        given("source_dir"),
        given("source_file"),
        given("source_content"),
        given("source_content_filename"),
        given("excludes", Set(TEXT)),
        given("output_file_mode"),
        preset("exclude_symlink_directories", False, FLAG),
        *computed("id", "output_sha", "output_sha256", "output_base64sha256", "output_sha512"),
        *computed("output_base64sha512", "output_md5"),
        *computed("output_size", kind=NUMBER),
    ]
    blocks: ClassVar[list[SetNestedBlock]] = [
        SetNestedBlock("source", Block(attributes=[needed("content"), needed("filename")]))
    ]

    def make(self, state: State) -> State:
        """Write the zip."""
        if state["type"] != "zip":
            raise UnsupportedError(f"type {state['type']!r} is not built here; zip is")
        mode = state["output_file_mode"]
        target = write(state["output_path"], b"")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as zipped:
            for name, content, rights in sorted(_entries(state)):
                entry = zipfile.ZipInfo(name, _TIME)
                entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
                entry.external_attr = (int(mode, 8) if mode else rights) << 16
                zipped.writestr(entry, content)
        made = target.read_bytes()
        sha1, sha256, sha512 = (getattr(hashlib, name)(made) for name in ("sha1", "sha256", "sha512"))
        return {
            "id": sha1.hexdigest(),
            "output_sha": sha1.hexdigest(),
            "output_sha256": sha256.hexdigest(),
            "output_base64sha256": base64.b64encode(sha256.digest()).decode(),
            "output_sha512": sha512.hexdigest(),
            "output_base64sha512": base64.b64encode(sha512.digest()).decode(),
            "output_md5": hashlib.md5(made, usedforsecurity=False).hexdigest(),
            "output_size": len(made),
        }


def _entries(state: State) -> list[tuple[str, bytes, int]]:
    if state["source_dir"]:
        root = Path(state["source_dir"])
        if not root.is_dir():
            raise UnsupportedError(f"source_dir {root} is not a folder")
        excludes = state["excludes"] or []
        return [
            (name, path.read_bytes(), path.stat().st_mode & 0o777)
            for path in root.rglob("*")
            if path.is_file() and not _excluded(name := path.relative_to(root).as_posix(), excludes)
        ]
    if state["source_file"]:
        path = Path(state["source_file"])
        return [(path.name, path.read_bytes(), path.stat().st_mode & 0o777)]
    if state["source_content_filename"]:
        return [(state["source_content_filename"], state["source_content"].encode(), 0o644)]
    texts = [(block["filename"], block["content"].encode(), 0o644) for block in state["source"]]
    if not texts:
        raise UnsupportedError("source_dir, source_file, source_content and source are all missing")
    return texts


def _excluded(name: str, patterns: list[str]) -> bool:
    return any(
        name == (plain := pattern.rstrip("/")) or name.startswith(f"{plain}/") or fnmatch(name, pattern)
        for pattern in patterns
    )


class File(_Archive, Made):
    """``archive_file`` as a resource."""


class FileData(_Archive, Read):
    """``archive_file`` as a data source."""


# Resources and data sources by the provider's name.
PROVIDERS = {"archive": ([File], [FileData])}
