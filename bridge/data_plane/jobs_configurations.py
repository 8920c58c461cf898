"""What a job may be configured with: limits of AWS IoT's service model, and those that only its pages have.

"Specify job configurations by using the AWS IoT Jobs API" (job-configurations-api.html, developer guide).
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from botocore.model import ListShape, Shape, StructureShape

from bridge.data_plane import wire
from bridge.data_plane.errors import ServiceError

# What a job is made with, keeps, and may be changed in.
CONFIGURATIONS = (
    "description",
    "jobExecutionsRolloutConfig",
    "abortConfig",
    "timeoutConfig",
    "jobExecutionsRetryConfig",
)
# Limits of shapes for which the model has none.
_LIMITS = {
    "MaxJobExecutionsPerMin": {"min": 1, "max": 1000},
    "InProgressTimeoutInMinutes": {"min": 1, "max": 7 * 24 * 60},
    "AbortThresholdPercentage": {"min": 0, "max": 100},
}


def check(parameters: Mapping[str, Any]) -> None:
    """Hold the configurations among an operation's parameters against their limits; types are known to be right.

    Raises:
        ServiceError: one is beyond them; with which one.
    """
    for name in CONFIGURATIONS:
        if name in parameters:
            for fault in _faults(parameters[name], _members()[name], name):
                raise ServiceError("InvalidRequestException", fault)


@cache
def _members() -> Mapping[str, Shape]:
    shape = wire.service_model("iot").operation_model("CreateJob").input_shape
    return shape.members if isinstance(shape, StructureShape) else {}


def _faults(value: Any, shape: Shape, path: str) -> Iterator[str]:
    limits = {**shape.metadata, **_LIMITS.get(shape.name, {})}
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            if name in value:
                yield from _faults(value[name], member, f"{path}.{name}")
        return
    if isinstance(shape, ListShape):
        for number, item in enumerate(value):
            yield from _faults(item, shape.member, f"{path}[{number}]")
    allowed = limits.get("enum")
    if allowed and value not in allowed:
        yield f"{path} must be one of {', '.join(allowed)}"
    size = value if isinstance(value, int | float) else len(value)
    if not limits.get("min", size) <= size <= limits.get("max", size):
        yield f"{path} must be, or have, at least {limits.get('min', 0)} and at most {limits.get('max')}"
