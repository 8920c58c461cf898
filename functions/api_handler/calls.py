"""How calls are made of which a request makes several, one after the other, and that nobody waits long for."""

from botocore.config import Config

# All of them within the function's 10 seconds; who asked asks again soon.
ONCE_AND_SOON = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 1},
    tcp_keepalive=True,
)
