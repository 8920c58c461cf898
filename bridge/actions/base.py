"""The contract of an action, and what its modules share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as BotoConnectionError

from bridge.messages import Failure, Outgoing
from bridge.sql import CompiledRule, RuleSqlError

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


# Builds an action from its parameters in the rule. Raises UnsupportedActionError or RuleSqlError.
Builder = Callable[[dict[str, Any], "Services", CompiledRule], Action]


class Services(Protocol):
    """What actions call."""

    def client(self, service: str) -> Any:
        """A boto3 client, made once."""

    def publish(self, topic: str, payload: bytes, qos: int) -> None:
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
    batch: Sequence[Outgoing], resource: str, send: Callable[[Outgoing], object]
) -> list[Failure | None]:
    """For services without a batch call: ``send`` each, and sort what it raises.

    A substitution template that cannot be rendered for a message fails lastingly.
    """
    results: list[Failure | None] = []
    for outgoing in batch:
        try:
            send(outgoing)
        except RuleSqlError as error:
            results.append(Failure(resource, str(error), lasting=True))
        except Exception as error:  # every failure of a call is sorted by `failure`
            results.append(failure(resource, error))
        else:
            results.append(None)
    return results


def request_failed(
    batch: Sequence[Outgoing], why: Failure, send: Callable[[Sequence[Outgoing]], list[Failure | None]]
) -> list[Failure | None]:
    """For a batch call that failed as a whole: if for good, each message is sent by itself.

    One entry can spoil a request; its neighbours must not go to the error action with it.
    """
    if why.lasting and len(batch) > 1:
        return [result for outgoing in batch for result in send([outgoing])]
    return [why] * len(batch)


def failed_entries(
    batch: Sequence[Outgoing], resource: str, answer: Mapping[str, Any]
) -> list[Failure | None]:
    """For batch calls that answer with the failed entries alone, by ``Id``: its place in the batch."""
    results: list[Failure | None] = [None] * len(batch)
    for failed in answer.get("Failed", []):
        said = f"{failed.get('Code')}: {failed.get('Message', '')}"
        results[int(failed["Id"])] = Failure(resource, said, lasting=bool(failed.get("SenderFault")))
    return results


def batch_results(
    batch: Sequence[Outgoing], resource: str, entries: Sequence[dict[str, Any]], code: str, message: str
) -> list[Failure | None]:
    """For batch calls that answer with an entry a record: those with ``code`` failed, and may be tried again."""
    return [
        Failure(resource, f"{entry[code]}: {entry.get(message, '')}", lasting=False)
        if entry.get(code)
        else None
        for _, entry in zip(batch, entries, strict=True)
    ]
