"""What the stand-ins share: a resource that is made once, and attributes in short."""

from typing import Any, ClassVar

from tf.iface import DataSource, Resource
from tf.schema import Attribute, NestedBlock, Schema
from tf.types import Bool, Number, String, TfType

TEXT, NUMBER, FLAG = String(), Number(), Bool()

State = dict[str, Any]


class UnsupportedError(Exception):
    """The configuration asks for what is not built; the text says what."""


def needed(name: str, kind: TfType = TEXT, *, sensitive: bool = False) -> Attribute:
    """Return an attribute that must be set; another value makes the resource anew."""
    return Attribute(name, kind, required=True, requires_replace=True, sensitive=sensitive)


def given(name: str, kind: TfType = TEXT, *, sensitive: bool = False) -> Attribute:
    """Return an attribute that may be set; another value makes the resource anew."""
    return Attribute(name, kind, optional=True, requires_replace=True, sensitive=sensitive)


def preset(name: str, value: Any, kind: TfType = TEXT) -> Attribute:
    """Return an attribute with a value of its own where none is set."""
    return Attribute(name, kind, optional=True, computed=True, default=value, requires_replace=True)


def computed(*names: str, kind: TfType = TEXT, sensitive: bool = False) -> list[Attribute]:
    """Return attributes that only the provider sets."""
    return [Attribute(name, kind, computed=True, sensitive=sensitive) for name in names]


class Described:
    """A name and its schema."""

    name: ClassVar[str]
    attributes: ClassVar[list[Attribute]]
    blocks: ClassVar[list[NestedBlock]] = []

    def __init__(self, provider: object) -> None:
        """Take nothing from the provider."""

    @classmethod
    def get_name(cls) -> str:
        """Return its name without the provider's."""
        return cls.name

    @classmethod
    def get_schema(cls) -> Schema:
        """Return its schema."""
        return Schema(attributes=cls.attributes, block_types=cls.blocks)


class Made(Described, Resource):
    """A resource that `make` fills in once; other values make it anew."""

    def make(self, state: State) -> State:
        """Return what is computed of a resource with these values."""
        raise NotImplementedError

    def create(self, ctx: Any, planned: State) -> State:
        """Make it."""
        return _told(self.make, ctx, planned)

    def read(self, ctx: Any, current: State) -> State | None:  # noqa: ARG002
        """Return what is known of it."""
        return current

    def update(self, ctx: Any, current: State, planned: State) -> State:  # noqa: ARG002
        """Take the new values: whatever matters has made it anew."""
        return planned

    def delete(self, ctx: Any, current: State) -> None:
        """Do nothing: it is in Terraform's state alone."""


class Read(Described, DataSource):
    """A data source that `make` fills in."""

    def make(self, state: State) -> State:
        """Return what is computed of one with these values."""
        raise NotImplementedError

    def read(self, ctx: Any, config: State) -> State:
        """Read it."""
        defaults = {
            each.name: each.default
            for each in self.attributes
            if each.optional and each.computed and config.get(each.name) is None
        }
        return _told(self.make, ctx, config | defaults)


def _told(make: Any, ctx: Any, state: State) -> State:
    try:
        return state | make(state)
    except (OSError, ValueError, UnsupportedError) as error:
        ctx.diagnostics.add_error(f"{ctx.type_name}: {error}")
        return state
