"""Read an account before anything is planned, and say in lines what would fail there or wants a look.

Each check reads; none changes anything. What may not be read is a line, too, and stops nobody.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from testbed.cost import scale
from testbed.cost.bill import Workload
from testbed.deploy.needs import Need, Site, needs

# Lambda's concurrency that is left to the API's functions.
_FOR_THE_API = 5
_MOST_BATCHES = 10

# Names that Service Quotas gives AWS IoT Core's, and ours (testbed/cost/quotas.json).
_IOT_QUOTAS = {
    "iot_connections": re.compile(r"concurrent client connections", re.IGNORECASE),
    "iot_connects": re.compile(r"connect requests per second per account", re.IGNORECASE),
    "iot_publishes": re.compile(r"inbound publish requests per second per account", re.IGNORECASE),
    "iot_outbound": re.compile(r"outbound publish requests per second per account", re.IGNORECASE),
    "iot_rules": re.compile(r"rule evaluations per second per (aws )?account", re.IGNORECASE),
}


@dataclass(frozen=True)
class Finding:
    """A line: whether what it says would make an apply, or the network after it, fail."""

    text: str
    fails: bool = False

    def __str__(self) -> str:
        return f"{'WOULD FAIL' if self.fails else 'ok'}: {self.text}"


@dataclass(frozen=True)
class Preflight:
    """What was found, and the concurrency that fits the account (None: it could not be read)."""

    findings: list[Finding]
    max_concurrency: int | None


def look(
    session: boto3.Session, caller: str, workload: Workload, site: Site, switched_on: Iterable[str] = ()
) -> Preflight:
    """Read the account of ``session``.

    Args:
        session: whose account and region.
        caller: the ARN that STS gives for the credentials.
        workload: what AWS IoT is to carry.
        site: names of what is to be made.
        switched_on: keys of `testbed.deploy.needs.SWITCHED`.
    """
    limit = _concurrency_limit(session)
    wanted = list(needs(switched_on))
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        lambda: _concurrency(limit),
        lambda: _iot_quotas(session, workload),
        lambda: _gateway_role(session),
        lambda: _services(session, wanted),
        lambda: _rights(session, caller, site, wanted),
    )
    found: list[Finding] = []
    for check in checks:
        try:
            found += check()
        except (BotoCoreError, ClientError) as error:
            found.append(Finding(f"not checked: {error}"))
    return Preflight(found, None if isinstance(limit, str) else fitting(limit))


def fitting(limit: int) -> int:
    """Return how many batches may be in work at once, so that an account's executions leave some to the API."""
    return max(2, min(_MOST_BATCHES, limit - _FOR_THE_API))


def _concurrency_limit(session: boto3.Session) -> int | str:
    try:
        return int(session.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
    except (BotoCoreError, ClientError) as error:
        return str(error)


def _concurrency(limit: int | str) -> Iterator[Finding]:
    if isinstance(limit, str):
        yield Finding(f"not checked: Lambda's concurrency: {limit}")
        return
    yield Finding(
        f"Lambda: {limit} executions at once in this account and region; {fitting(limit)} of them for telemetry",
        fails=limit < 2 + _FOR_THE_API,
    )


def _iot_quotas(session: boto3.Session, workload: Workload) -> Iterator[Finding]:
    quotas: dict[str, float] = {}
    for page in (
        session.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="iotcore")
    ):
        quotas |= {quota["QuotaName"]: float(quota["Value"]) for quota in page["Quotas"]}
    needs = scale.needs(workload)
    for key, pattern in _IOT_QUOTAS.items():
        value = next((value for name, value in quotas.items() if pattern.search(name)), None)
        need = needs[key].needed
        what = f"{needs[key].quota.name}: {need:,.0f} needed"
        if value is None:
            yield Finding(
                f"{what}; Service Quotas names none, AWS's default is {needs[key].quota.value:,.0f}"
            )
        else:
            yield Finding(f"{what}, {value:,.0f} allowed", fails=need > value)


def _gateway_role(session: boto3.Session) -> Iterator[Finding]:
    role = session.client("apigateway").get_account().get("cloudwatchRoleArn")
    yield Finding(
        f"API Gateway's access logs: the region's role is {role}, and stays"
        if role
        else "API Gateway's access logs: the region has no role yet; `make up` sets one"
    )


def _services(session: boto3.Session, wanted: Sequence[Need]) -> Iterator[Finding]:
    region, services = session.region_name, sorted({need.service for need in wanted if need.service})
    absent = [name for name in services if region not in session.get_available_regions(name)]
    if absent:
        yield Finding(f"{region} lacks {', '.join(absent)}, as far as boto3 knows", fails=True)
    else:
        yield Finding(f"{region} has every service that is used")


def _rights(session: boto3.Session, caller: str, site: Site, wanted: Sequence[Need]) -> Iterator[Finding]:
    source = principal(caller)
    if source is None:
        yield Finding("the credentials are the account's root, which may do all; use a role for daily work")
        return
    iam = session.client("iam")
    decisions = {need: _allowed(iam, source, site, need) for need in wanted}
    denied = [f"{need.action} on {site.arn(need)}" for need, allowed in decisions.items() if allowed is False]
    unknown = [need.action for need, allowed in decisions.items() if allowed is None]
    if len(denied) == len(wanted):
        yield Finding(f"{source} has none of the rights that an apply needs", fails=True)
    elif denied:
        yield Finding(f"{source} may not: {', '.join(denied)}", fails=True)
    else:
        yield Finding(f"{source} may do what an apply needs, by {len(wanted) - len(unknown)} actions of it")
    if unknown:
        yield Finding(f"not checked: {', '.join(unknown)}, which hang on conditions that IAM cannot simulate")


def _allowed(iam: Any, source: str, site: Site, need: Need) -> bool | None:
    """Return whether IAM would allow it; None where that hangs on a condition key that only a real call has."""
    keys = {"aws:RequestedRegion": site.region}
    keys |= {key: value or site.boundary or "" for key, value in need.context.items()}
    [result] = iam.simulate_principal_policy(
        PolicySourceArn=source,
        ActionNames=[need.action],
        ResourceArns=[site.arn(need)],
        ContextEntries=[
            {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
            for key, value in keys.items()
            if value
        ],
    )["EvaluationResults"]
    if result["EvalDecision"] == "allowed":
        return True
    # A project without a boundary has none to say: then its condition is not met, and that is known.
    missing = set(result.get("MissingContextValues", ())) - set(need.context)
    return None if missing and result["EvalDecision"] == "implicitDeny" else False


def principal(caller: str) -> str | None:
    """Return the ARN that IAM simulates for a caller's: a session's is its role's; None for root."""
    if caller.endswith(":root"):
        return None
    if assumed := re.fullmatch(r"arn:(aws[\w-]*):sts::(\d+):assumed-role/([^/]+)/.+", caller):
        return f"arn:{assumed[1]}:iam::{assumed[2]}:role/{assumed[3]}"
    return caller


def say_all(found: Preflight, say: Callable[[str], Any]) -> None:
    """Print each finding in a line of its own."""
    for finding in found.findings:
        say(f"  {finding}")
