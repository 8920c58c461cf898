"""A broker that is stopped has noted who is gone before its files are closed."""

import asyncio
from pathlib import Path
from typing import Any

from bridge.broker.attendance import Attendance
from bridge.broker.connection import ClientConnection
from bridge.broker.server import Broker
from tests.unit.bridge.broker.test_malformed import ANYBODY, Nobody, connect, until


def test_who_is_connected_when_a_broker_stops_is_noted_as_gone(tmp_path: Path) -> None:
    """Else the broker that is started next tells of them once more, and this one writes to closed files."""
    failures: list[dict[str, Any]] = []

    async def stop_with_a_client() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, failure: failures.append(failure))
        broker = Broker(Nobody(), tmp_path)
        broker.start()
        server = await loop.create_server(lambda: ClientConnection(broker, ANYBODY), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(connect("there"))
        assert (await reader.readexactly(4))[0] == 0x20
        broker.close()
        server.close()
        await until(lambda: not broker.connections)
        writer.close()

    asyncio.run(stop_with_a_client())
    assert failures == []
    left = Attendance(tmp_path / "attendance.ndjson")
    left.close()
    assert left.present == {}
