"""The bridge's Prometheus metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

registry = CollectorRegistry()

RECEIVED = Counter("bridge_received", "Messages received from the broker", registry=registry)
UNMATCHED = Counter("bridge_unmatched", "Messages that no rule wanted", registry=registry)
ACKNOWLEDGED = Counter("bridge_acknowledged", "Messages acknowledged to the broker", registry=registry)
FIRED = Counter("bridge_fired", "Messages that a rule fired for", ["rule"], registry=registry)
ACTED = Counter("bridge_acted", "Messages that an action took", ["rule", "action"], registry=registry)
RETRIED = Counter(
    "bridge_retried", "Messages that an action was tried again with", ["rule", "action"], registry=registry
)
ERROR_ACTIONED = Counter(
    "bridge_error_actioned", "Messages that went to the error action", ["rule"], registry=registry
)
DROPPED = Counter(
    "bridge_failed_without_error_action",
    "Failed messages of rules without error action",
    ["rule"],
    registry=registry,
)
IN_FLIGHT = Gauge("bridge_in_flight", "Messages received and not yet acknowledged", registry=registry)
CAUGHT_UP = Gauge(
    "bridge_caught_up_timestamp_seconds",
    "Everything that the broker acknowledged before this moment has reached the bridge",
    registry=registry,
)
RULES = Gauge("bridge_rules", "Rules loaded", registry=registry)
REFUSED_RULES = Gauge("bridge_refused_rules", "Rules that this bridge cannot run", registry=registry)
LAG = Histogram(
    "bridge_lag_seconds",
    "From receiving a message to acknowledging it",
    registry=registry,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
