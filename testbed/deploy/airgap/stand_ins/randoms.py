"""hashicorp/random: values that are drawn once and kept in Terraform's state."""

import base64
import random
import secrets
import string
import uuid
from typing import Any, ClassVar

from base import FLAG, NUMBER, TEXT, Made, State, computed, given, needed, preset
from tf.schema import Attribute
from tf.types import List, Map

_KEEPERS = given("keepers", Map(TEXT))
_SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
_ADVERBS = ("calmly", "duly", "easily", "fairly", "gently", "highly", "jointly", "kindly", "lively", "neatly")
_ADJECTIVES = ("amber", "brave", "clever", "daring", "eager", "fresh", "giant", "happy", "ideal", "jolly")
_NAMES = ("badger", "cougar", "dolphin", "falcon", "gopher", "heron", "ibex", "jackal", "koala", "lemur")


class Id(Made):
    """``random_id``."""

    name = "id"
    attributes: ClassVar[list[Attribute]] = [
        needed("byte_length", NUMBER),
        given("prefix"),
        _KEEPERS,
        *computed("id", "b64_url", "b64_std", "hex", "dec"),
    ]

    def make(self, state: State) -> State:
        """Draw it."""
        drawn, prefix = secrets.token_bytes(int(state["byte_length"])), state["prefix"] or ""
        url = base64.urlsafe_b64encode(drawn).rstrip(b"=").decode()
        return {
            "id": url,
            "b64_url": prefix + url,
            "b64_std": prefix + base64.b64encode(drawn).decode(),
            "hex": prefix + drawn.hex(),
            "dec": f"{prefix}{int.from_bytes(drawn)}",
        }


class Text(Made):
    """``random_string``."""

    name = "string"
    attributes: ClassVar[list[Attribute]] = [
        needed("length", NUMBER),
        *(preset(name, True, FLAG) for name in ("lower", "upper", "numeric", "number", "special")),
        *(preset(f"min_{name}", 0, NUMBER) for name in ("lower", "upper", "numeric", "special")),
        given("override_special"),
        _KEEPERS,
        *computed("id", "result"),
    ]

    def make(self, state: State) -> State:
        """Draw it."""
        kinds = {
            "lower": string.ascii_lowercase,
            "upper": string.ascii_uppercase,
            "numeric": string.digits if state["number"] else "",
            "special": state["override_special"] or _SPECIAL,
        }
        wanted = {name: letters for name, letters in kinds.items() if state[name]}
        drawn = [
            secrets.choice(letters)
            for name, letters in kinds.items()
            for _ in range(int(state[f"min_{name}"]))
        ]
        letters = "".join(wanted.values())
        drawn += [secrets.choice(letters) for _ in range(int(state["length"]) - len(drawn))]
        secrets.SystemRandom().shuffle(drawn)
        result = "".join(drawn)
        return {"result": result, "id": result}


class Password(Text):
    """``random_password``."""

    name = "password"
    attributes: ClassVar[list[Attribute]] = [
        *(each for each in Text.attributes if each.name not in ("id", "result")),
        *computed("id"),
        *computed("result", sensitive=True),
    ]

    def make(self, state: State) -> State:
        """Draw it."""
        return super().make(state) | {"id": "none"}


class Integer(Made):
    """``random_integer``."""

    name = "integer"
    attributes: ClassVar[list[Attribute]] = [
        needed("min", NUMBER),
        needed("max", NUMBER),
        given("seed"),
        _KEEPERS,
        *computed("id"),
        *computed("result", kind=NUMBER),
    ]

    def make(self, state: State) -> State:
        """Draw it."""
        result = _generator(state).randint(int(state["min"]), int(state["max"]))
        return {"result": result, "id": str(result)}


class Pet(Made):
    """``random_pet``."""

    name = "pet"
    attributes: ClassVar[list[Attribute]] = [
        preset("length", 2, NUMBER),
        preset("separator", "-"),
        given("prefix"),
        _KEEPERS,
        *computed("id"),
    ]

    def make(self, state: State) -> State:
        """Draw it."""
        words = [secrets.choice(_NAMES), secrets.choice(_ADJECTIVES)][: int(state["length"])]
        words += [secrets.choice(_ADVERBS) for _ in range(int(state["length"]) - 2)]
        return {"id": state["separator"].join(filter(None, [state["prefix"], *reversed(words)]))}


class Uuid(Made):
    """``random_uuid``."""

    name = "uuid"
    attributes: ClassVar[list[Attribute]] = [_KEEPERS, *computed("id", "result")]

    def make(self, state: State) -> State:  # noqa: ARG002
        """Draw it."""
        result = str(uuid.uuid4())
        return {"result": result, "id": result}


class Shuffle(Made):
    """``random_shuffle``."""

    name = "shuffle"
    attributes: ClassVar[list[Attribute]] = [
        needed("input", List(TEXT)),
        given("result_count", NUMBER),
        given("seed"),
        _KEEPERS,
        *computed("id"),
        *computed("result", kind=List(TEXT)),
    ]

    def make(self, state: State) -> State:
        """Draw it."""
        mixed, generator = list(state["input"]), _generator(state)
        generator.shuffle(mixed)
        count = len(mixed) if state["result_count"] is None else int(state["result_count"])
        return {"result": mixed[:count], "id": "-"}


def _generator(state: State) -> Any:
    return random.Random(state["seed"]) if state["seed"] else secrets.SystemRandom()  # noqa: S311


# Resources and data sources by the provider's name.
PROVIDERS = {"random": ([Id, Text, Password, Integer, Pet, Uuid, Shuffle], [])}
