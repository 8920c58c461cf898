"""GET /stations/{id}/history: the last hours of a station, through the deployed API."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from testbed.deploy.deployment import Deployment
from testbed.pipeline import api
from tests.e2e.conftest import Connect, archived, wait_for


def test_each_minute_has_its_first_message_in_the_history(
    deployment: Deployment, connect: Connect, name: str
) -> None:
    """Three minutes, each said out of order and twice; the archive has all, the history a point a minute."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=10)
    station = connect(name)
    for minute, second in ((1, 30), (0, 40), (0, 20), (2, 10), (1, 50), (0, 20)):
        moment = start + timedelta(minutes=minute, seconds=second)
        message = {
            "station_id": name,
            "battery_available": second // 10,
            "timestamp": moment.isoformat(),
            "message_id": f"{name}-{minute}-{second}",
        }
        station.publish(json.dumps(message).encode())
    assert wait_for(lambda: len({line["message_id"] for line in archived(deployment, name)}) == 5)

    def history(**query: str | int) -> Any:
        status, document = api.get(deployment, f"/stations/{name}/history", **query)
        assert status in (200, 404)
        return document if status == 200 else {"points": []}

    expected = [f"{name}-0-20", f"{name}-1-30", f"{name}-2-10"]
    assert wait_for(lambda: [point["message_id"] for point in history()["points"]] == expected)
    assert [point["battery_available"] for point in history()["points"]] == [2, 3, 1]

    second_minute = (start + timedelta(minutes=1)).isoformat().replace("+00:00", "Z")
    assert [point["message_id"] for point in history(**{"from": second_minute})["points"]] == expected[1:]
    assert [point["message_id"] for point in history(to=second_minute)["points"]] == expected[:1]
    first = history(limit=1)
    assert [point["message_id"] for point in first["points"]] == expected[:1]
    rest = history(next_token=first["next_token"])
    assert [point["message_id"] for point in rest["points"]] == expected[1:]
