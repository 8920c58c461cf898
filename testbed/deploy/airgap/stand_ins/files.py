"""hashicorp/local: files in the working copy."""

import base64
import hashlib
from pathlib import Path
from typing import Any, ClassVar

from base import Made, Read, State, computed, given, needed, preset
from tf.schema import Attribute

_SUMS = (
    "content_md5",
    "content_sha1",
    "content_sha256",
    "content_sha512",
    "content_base64sha256",
    "content_base64sha512",
)


def write(name: str, content: bytes, mode: str = "", folder_mode: str = "") -> Path:
    """Write a file anew: what was there may be a link to a file of the user's."""
    path = Path(name)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, mode=int(folder_mode or "777", 8))
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    if mode:
        path.chmod(int(mode, 8))
    return path


def sums(content: bytes) -> State:
    """Return what both providers compute of a content, under the names of hashicorp/local."""
    found = {name: getattr(hashlib, name)(content) for name in ("md5", "sha1", "sha256", "sha512")}
    return {f"content_{name}": each.hexdigest() for name, each in found.items()} | {
        f"content_base64{name}": base64.b64encode(found[name].digest()).decode()
        for name in ("sha256", "sha512")
    }


class File(Made):
    """``local_file``."""

    name = "file"
    secret: ClassVar[bool] = False
    attributes: ClassVar[list[Attribute]] = [
        needed("filename"),
        given("content"),
        given("content_base64"),
        given("sensitive_content", sensitive=True),
        given("source"),
        preset("file_permission", "0777"),
        preset("directory_permission", "0777"),
        *computed("id", *_SUMS),
    ]

    def make(self, state: State) -> State:
        """Write it."""
        if state["source"]:
            content = Path(state["source"]).read_bytes()
        elif state["content_base64"]:
            content = base64.b64decode(state["content_base64"])
        else:
            content = (state["content"] or state.get("sensitive_content") or "").encode()
        write(state["filename"], content, state["file_permission"], state["directory_permission"])
        known = sums(content)
        return known | {"id": known["content_sha1"]}

    def read(self, ctx: Any, current: State) -> State | None:  # noqa: ARG002
        """Return None where the file is not there, or another: then it is written anew."""
        path = Path(current["filename"])
        there = path.is_file() and hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        return current if there == current["id"] else None

    def delete(self, ctx: Any, current: State) -> None:  # noqa: ARG002
        """Remove the file."""
        Path(current["filename"]).unlink(missing_ok=True)


class SensitiveFile(File):
    """``local_sensitive_file``."""

    name = "sensitive_file"
    attributes: ClassVar[list[Attribute]] = [
        needed("filename"),
        given("content", sensitive=True),
        given("content_base64", sensitive=True),
        given("source"),
        preset("file_permission", "0700"),
        preset("directory_permission", "0700"),
        *computed("id", *_SUMS),
    ]


class FileData(Read):
    """``local_file`` as a data source."""

    name = "file"
    attributes: ClassVar[list[Attribute]] = [
        needed("filename"),
        *computed("id", "content", "content_base64", *_SUMS),
    ]

    def make(self, state: State) -> State:
        """Read it."""
        content = Path(state["filename"]).read_bytes()
        known = sums(content)
        return known | {
            "id": known["content_sha1"],
            "content": content.decode(errors="replace"),
            "content_base64": base64.b64encode(content).decode(),
        }


class SensitiveFileData(FileData):
    """``local_sensitive_file`` as a data source."""

    name = "sensitive_file"
    attributes: ClassVar[list[Attribute]] = [
        needed("filename"),
        *computed("content", "content_base64", sensitive=True),
        *computed("id", *_SUMS),
    ]


# Resources and data sources by the provider's name.
PROVIDERS = {"local": ([File, SensitiveFile], [FileData, SensitiveFileData])}
