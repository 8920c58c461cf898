"""Messages a CPU second through the rule SQL engine: matching the topic and evaluating, without MQTT and AWS."""

import json
import time
from collections.abc import Callable

from bridge import Message, compile_rule

_RULES = {
    "envelope": "SELECT encode(*, 'base64') AS payload_base64, topic() AS topic, clientid() AS client_id,"
    " timestamp() AS received_at FROM 'stations/+/telemetry'",
    "pass through": "SELECT * FROM 'stations/+/telemetry'",
    "filter and add": "SELECT *, topic(2) AS station FROM 'stations/+/telemetry' WHERE temperature_c > 20",
}
_TOPIC = "stations/station-01/telemetry"
_PAYLOAD = json.dumps(
    {
        "station_id": "station-01",
        "sequence": 12,
        "temperature_c": 25.3,
        "status": "ok",
        "slots": list(range(8)),
    }
).encode()
_TURNS = 1000


def run(seconds: float, say: Callable[[str], None]) -> dict[str, float]:
    """Evaluate each rule for so many seconds of CPU, and print its rate.

    Returns:
        Messages a CPU second by the rule's name.
    """
    rates = {}
    for name, sql in _RULES.items():
        rule = compile_rule(sql)
        done, started = 0, time.process_time()
        while (spent := time.process_time() - started) < seconds or not done:
            for _ in range(_TURNS):
                rule.matches(_TOPIC)
                rule.evaluate(Message(_TOPIC, _PAYLOAD, "station-01"))
            done += _TURNS
        rates[name] = done / spent
        say(f"{name:16}{rates[name]:12,.0f} messages per CPU second")
    return rates
