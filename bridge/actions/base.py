"""The contract of an action, and what its modules share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledTemplate, MqttProperties, RuleSqlError

if TYPE_CHECKING:
    from bridge.actions.parameters import Parameters

# Errors that go away by themselves: https://docs.aws.amazon.com/general/latest/gr/api-retries.html
_PASSING_CODES = {
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "ServiceUnavailable",
    "RequestTimeout",
    "RequestTimeoutException",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "ProvisionedThroughputExceededException",
    "RequestThrottled",
    "SlowDown",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "TransactionInProgressException",
    "ExpiredToken",
    "KMSThrottlingException",
}


class UnsupportedActionError(Exception):
    """The rule asks for something that the bridge cannot do; the rule is refused when it is loaded."""


class Action(Protocol):
    """Sends what a rule made. One instance for each action of each rule; called from several threads."""

    name: str
    max_batch: int

    def send(self, batch: Sequence[Outgoing]) -> list[Failure | None]:
        """Send at most ``max_batch`` messages; for each, None or why it was not taken. Never raises."""


class Builder(Protocol):
    """Builds an action from its parameters in the rule. Raises UnsupportedActionError or RuleSqlError."""

    def __call__(self, parameters: Parameters, services: Services) -> Action:
        """Build it."""


class Services(Protocol):
    """What actions call."""

    def client(self, service: str) -> Any:
        """Return a boto3 client, made once."""

    def publish(self, topic: str, payload: bytes, qos: int, properties: MqttProperties | None = None) -> None:
        """Publish back to the broker, and wait for its acknowledgement."""


def failure(resource: str, error: Exception) -> Failure:
    """Sort an exception of a call."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        passing = code in _PASSING_CODES or status >= 500 or status == 429
        return Failure(resource, str(error), lasting=not passing)
    unreachable = isinstance(error, (BotoConnectionError, HTTPClientError, OSError))
    return Failure(
        resource,
        str(error),
        lasting=not unreachable and isinstance(error, BotoCoreError),
        unreachable=unreachable,
    )


def one_by_one(
    batch: Sequence[Outgoing], resource: CompiledTemplate | str, send: Callable[[Outgoing], object]
) -> list[Failure | None]:
    """Call ``send`` for each message, where the service has no batch call, and sort what it raises.

    A substitution template that cannot be rendered for a message fails lastingly. ``resource`` is what a failure names.
    """
    results: list[Failure | None] = []
    for outgoing in batch:
        try:
            send(outgoing)
        except RuleSqlError as error:
            results.append(Failure(_named(resource, outgoing), str(error), lasting=True))
        except Exception as error:  # every failure of a call is sorted by `failure`
            results.append(failure(_named(resource, outgoing), error))
        else:
            results.append(None)
    return results


def by_target(
    batch: Sequence[Outgoing],
    target: CompiledTemplate,
    send: Callable[[str, Sequence[Outgoing]], list[Failure | None]],
) -> list[Failure | None]:
    """Call ``send`` once for each target that the template gives for the messages, and put its results in order.

    A message for which the template cannot be rendered, or gives nothing, fails lastingly.
    """
    if target.is_constant:
        return send(target.template, batch)
    results: list[Failure | None] = [None] * len(batch)
    groups: dict[str, list[int]] = {}
    for place, outgoing in enumerate(batch):
        try:
            name = target.render(outgoing.message)
        except RuleSqlError as error:
            results[place] = Failure(target.template, str(error), lasting=True)
        except OSError as error:
            results[place] = failure(target.template, error)
        else:
            if name:
                groups.setdefault(name, []).append(place)
            else:
                results[place] = Failure(target.template, "the template gives nothing", lasting=True)
    for name, places in groups.items():
        for place, why in zip(places, send(name, [batch[place] for place in places]), strict=True):
            results[place] = why
    return results


def _named(resource: CompiledTemplate | str, outgoing: Outgoing) -> str:
    if isinstance(resource, str):
        return resource
    try:
        return resource.render(outgoing.message)
    except (RuleSqlError, OSError):
        return resource.template


def request_failed(
    batch: Sequence[Outgoing], why: Failure, send: Callable[[Sequence[Outgoing]], list[Failure | None]]
) -> list[Failure | None]:
    """Sort a batch call that failed as a whole: if it failed for good, send each message by itself.

    One entry can spoil a request; its neighbours must not go to the error action with it.
    """
    if why.lasting and len(batch) > 1:
        return [result for outgoing in batch for result in send([outgoing])]
    return [why] * len(batch)


def failed_entries(
    batch: Sequence[Outgoing], resource: str, answer: Mapping[str, Any]
) -> list[Failure | None]:
    """Sort the answer of a batch call that names failed entries alone, by ``Id``: the place in the batch."""
    results: list[Failure | None] = [None] * len(batch)
    for failed in answer.get("Failed", []):
        said = f"{failed.get('Code')}: {failed.get('Message', '')}"
        results[int(failed["Id"])] = Failure(resource, said, lasting=bool(failed.get("SenderFault")))
    return results


def batch_results(
    batch: Sequence[Outgoing], resource: str, entries: Sequence[dict[str, Any]], code: str, message: str
) -> list[Failure | None]:
    """Sort the answer of a batch call that has an entry a record: with ``code`` it failed, and may be tried again."""
    return [
        Failure(resource, f"{entry[code]}: {entry.get(message, '')}", lasting=False)
        if entry.get(code)
        else None
        for _, entry in zip(batch, entries, strict=True)
    ]
