"""What the bridge's programs share: structured logs on standard output."""

import logging
import resource

import structlog

# Beside its connections: the program's own files, sockets and libraries.
_OWN_FILES = 100


def configure_logs() -> None:
    """Log as JSON, a line an event."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def most_connections() -> int:
    """Raise the soft limit of open files, often 1,024, to the hard one; how many connections that leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 1_000_000 if hard == resource.RLIM_INFINITY else hard - _OWN_FILES
