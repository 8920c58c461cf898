"""AWS IoT policies: whether what is attached to a certificate allows an action."""

from bridge.policies.connection import Connection, Thing
from bridge.policies.evaluation import Grant, InexpressibleError, Policies
from bridge.policies.statements import Policy

__all__ = ["Connection", "Grant", "InexpressibleError", "Policies", "Policy", "Thing"]
