"""Messages a CPU second through the rule SQL engine: `.venv/bin/python bench/rule_sql.py`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bridge import Message, compile_rule

RULES = {
    "envelope": "SELECT encode(*, 'base64') AS payload_base64, topic() AS topic, clientid() AS client_id,"
    " timestamp() AS received_at FROM 'stations/+/telemetry'",
    "pass through": "SELECT * FROM 'stations/+/telemetry'",
    "filter and add": "SELECT *, topic(2) AS station FROM 'stations/+/telemetry' WHERE temperature_c > 20",
}
TOPIC = "stations/station-01/telemetry"
PAYLOAD = json.dumps(
    {
        "station_id": "station-01",
        "sequence": 12,
        "temperature_c": 25.3,
        "status": "ok",
        "slots": list(range(8)),
    }
).encode()
SECONDS = 1.0


def main() -> None:
    for name, sql in RULES.items():
        rule = compile_rule(sql)
        done, started = 0, time.process_time()
        while time.process_time() - started < SECONDS:
            for _ in range(1000):
                rule.matches(TOPIC)
                rule.evaluate(Message(TOPIC, PAYLOAD, "station-01"))
            done += 1000
        print(f"{name:16}{done / (time.process_time() - started):12,.0f} messages per CPU second")


if __name__ == "__main__":
    main()
