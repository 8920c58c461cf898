"""Messages of any device: from a file of JSON templates with ranges, or from a Python class of the project."""

import importlib
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec

from simulator.messages import Message
from simulator.options import FleetError, FleetOptions
from simulator.settings import Settings

_encode = msgspec.json.Encoder().encode

# What a text that is nothing but this becomes in each message.
_WORDS = ("{device}", "{timestamp}", "{message_id}", "{sequence}")
_RANGE_KEYS = {"from", "to", "step", "decimals"}

Document = dict[str, Any]


class Model(Protocol):
    """A device's state, which a project's own class keeps: made by ``Class(device, seed)``.

    With a method ``follow(desired)`` the device follows its shadow: the method takes the desired state, or the part
    that differs from what was reported, and returns the state to report.
    """

    def next(self, seconds: float) -> Document:
        """Let ``seconds`` pass, and return what the device says then."""


class Templates:
    """A device that says what a template says.

    In the template ``{"from": -20, "to": 8, "step": 0.5, "decimals": 1}`` is a number that wanders by at most ``step``
    a message between the two, or any number between them without ``step``; ``{"one_of": [...]}`` is one of these. A
    text of ``{device}``, ``{timestamp}``, ``{message_id}`` or ``{sequence}`` is filled in; all else is as it stands.
    """

    def __init__(self, template: Document, device: str, seed: int) -> None:
        """Keep the template, and a generator of the device's own."""
        self._template = template
        self._random = random.Random(f"{seed}/{device}/model")
        self._walks: dict[str, float] = {}

    def next(self, seconds: float) -> Document:  # noqa: ARG002  # a template knows no time
        """See `Model.next`."""
        filled: Document = self._fill(self._template, "")
        return filled

    def _fill(self, part: Any, path: str) -> Any:
        if isinstance(part, list):
            return [self._fill(item, f"{path}/{number}") for number, item in enumerate(part)]
        if not isinstance(part, dict):
            return part
        if set(part) == {"one_of"}:
            return self._random.choice(part["one_of"])
        if {"from", "to"} <= set(part) <= _RANGE_KEYS:
            return self._number(part, path)
        return {name: self._fill(value, f"{path}/{name}") for name, value in part.items()}

    def _number(self, part: Document, path: str) -> float:
        low, high, step = part["from"], part["to"], part.get("step")
        before = self._walks.get(path)
        if before is None or step is None:
            value = self._random.uniform(low, high)
        else:
            value = min(high, max(low, before + self._random.uniform(-step, step)))
        self._walks[path] = value
        return round(value, part["decimals"]) if part.get("decimals") else round(value)


class ModelMessages:
    """A device's messages by a `Model`; see `simulator.messages.Messages`."""

    def __init__(
        self, model: Model, options: FleetOptions, device: str, run_id: str, start: datetime
    ) -> None:
        """``start`` is where the device's time begins."""
        self._model = model
        self._device = device
        self._prefix = f"{device}-{run_id}-"
        self._moment = start
        self._step = options.interval * options.speed
        self._real_time = options.start is None and options.speed == 1
        self._last: Document = {}
        self.sequence = 0
        self.firmware = ""

    def next(self) -> Message:
        """See `Messages.next`."""
        self.sequence += 1
        self._moment += timedelta(seconds=self._step)
        moment = datetime.now(UTC) if self._real_time else self._moment.astimezone(UTC)
        timestamp = moment.isoformat(timespec="milliseconds")[:23] + "Z"
        values = (self._device, timestamp, self.message_id(self.sequence), self.sequence)
        self._last = _with_words(self._model.next(self._step), dict(zip(_WORDS, values, strict=True)))
        return Message(self.sequence, timestamp, _encode(self._last))

    def described(self) -> str:
        """See `Messages.described`."""
        return _encode(self._last).decode()

    def follow(self, settings: Settings, elapsed: float) -> None:
        """Do nothing: a model of the user's own has no settings."""

    @property
    def follow_shadow(self) -> Callable[[Document], Document] | None:
        """The model's ``follow``, where it has one."""
        return getattr(self._model, "follow", None)

    @property
    def slots(self) -> int:
        """See `Messages.slots`."""
        return 0

    def message_id(self, sequence: int) -> str:
        """See `Messages.message_id`."""
        return f"{self._prefix}{sequence}"


def _with_words(part: Any, words: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        return {name: _with_words(value, words) for name, value in part.items()}
    if isinstance(part, list):
        return [_with_words(item, words) for item in part]
    return words.get(part, part) if isinstance(part, str) else part


def load(name: str) -> Callable[[str, int], Model]:
    """Return what makes a device's model of its name and the seed.

    Args:
        name: a JSON file, or ``module:Class`` from Python's path.

    Raises:
        FleetError: it is not there, or not of that form.
    """
    if name.endswith(".json"):
        try:
            template = msgspec.json.decode(Path(name).read_bytes(), type=Document)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise FleetError(f"The model {name} cannot be read: {error}") from error
        _check(template, "")
        return lambda device, seed: Templates(template, device, seed)
    module, _, attribute = name.partition(":")
    try:
        found: Callable[[str, int], Model] = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise FleetError(
            f"The model {name} cannot be imported: {error}. Name a .json file, or module:Class."
        ) from error
    return found


def _check(part: Any, path: str) -> None:
    """Refuse what looks like a range or a choice and is none; it would be published as it stands."""
    if isinstance(part, dict):
        words = set(part) & (_RANGE_KEYS | {"one_of"})
        numbers = all(isinstance(part[key], int | float) for key in words - {"one_of"})
        good_range = {"from", "to"} <= set(part) <= _RANGE_KEYS and numbers and part["from"] <= part["to"]
        good_choice = set(part) == {"one_of"} and isinstance(part["one_of"], list) and part["one_of"]
        if words & {"from", "to", "one_of"} and not (good_range or good_choice):
            raise FleetError(
                f'The model is wrong at {path or "/"}: a range is {{"from", "to", "step", "decimals"}} with '
                'numbers, from <= to; a choice is {"one_of": [...]} alone.'
            )
        for name, value in part.items():
            _check(value, f"{path}/{name}")
    elif isinstance(part, list):
        for number, item in enumerate(part):
            _check(item, f"{path}/{number}")
