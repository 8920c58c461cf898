"""Serve the fault proxy: between the AWS emulator and its callers, it counts every call and breaks those it is told to.

It runs in an environment of its own (``drills/faults/requirements.txt``), so of ours it imports only what needs no
package. microburst reads which call a request is and writes errors as AWS writes them; what microburst lacks is done
here: a call carried out twice, an answer that is lost after the call was carried out, and a caller that dies or hangs
at an exact point.

    PYTHONPATH=. python proxy_server.py --port 4600 --upstream http://127.0.0.1:4566
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psutil
from aiohttp import web
from microburst.detection import detect
from microburst.protocols import render_error
from yarl import URL

from testbed.host.forward import end_to_end

_SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


@dataclass
class Order:
    """A fault that waits for its calls.

    ``action``: ``error`` (``code``, ``status``), ``slow`` (``seconds``), ``lost`` (carried out, not answered),
    ``duplicate`` (carried out twice); ``kill`` and ``freeze`` of the calling process, before the call or (``after``)
    when it was carried out. ``operations`` are ``service:Operation``; ``times`` calls are hit, within ``expires``
    (of the event loop's clock).
    """

    name: str
    action: str
    operations: list[str]
    times: int
    expires: float
    code: str = ""
    status: int = 0
    seconds: float = 0.0
    after: bool = False


@dataclass
class Calls:
    """The calls of one operation; bytes are those of bodies; ``statements`` are those of batches in PartiQL."""

    count: int = 0
    statements: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


class Proxy:
    """A proxy that forwards, counts, and breaks."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream.rstrip("/")
        self._orders: list[Order] = []
        self._hits: Counter[str] = Counter()
        self._calls: dict[str, Calls] = {}
        self._open = asyncio.Event()
        self._open.set()
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._session: aiohttp.ClientSession

    def application(self) -> web.Application:
        """Return the web application."""
        app = web.Application(client_max_size=1 << 30)
        app.cleanup_ctx.append(self._connect)
        app.router.add_post("/_faults/orders", self._take_orders)
        app.router.add_post("/_faults/gate", self._move_gate)
        app.router.add_get("/_faults/counts", self._tell_counts)
        app.router.add_delete("/_faults/counts", self._forget_counts)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _connect(self, _app: web.Application) -> Any:
        # No limit and no time-out of its own: those are the callers'.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(), auto_decompress=False
        ) as self._session:
            yield

    # -----------------------------------------------------------------------
    # Control
    # -----------------------------------------------------------------------

    async def _take_orders(self, request: web.Request) -> web.Response:
        now = asyncio.get_running_loop().time()
        for order in await request.json():
            self._orders.append(Order(**order | {"expires": now + order["expires"]}))
        return web.json_response({})

    async def _move_gate(self, request: web.Request) -> web.Response:
        """Hold calls back while closed; answer when none is on its way, so that upstream may be restarted."""
        if (await request.json())["open"]:
            self._open.set()
        else:
            self._open.clear()
            await self._idle.wait()
        return web.json_response({})

    async def _tell_counts(self, _request: web.Request) -> web.Response:
        calls = {
            name: {
                "count": each.count,
                "statements": each.statements,
                "bytes_in": each.bytes_in,
                "bytes_out": each.bytes_out,
                "statuses": dict(each.statuses),
            }
            for name, each in sorted(self._calls.items())
        }
        return web.json_response({"hits": dict(self._hits), "calls": calls})

    async def _forget_counts(self, _request: web.Request) -> web.Response:
        self._hits.clear()
        self._calls.clear()
        return web.json_response({})

    # -----------------------------------------------------------------------
    # Calls
    # -----------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        context = detect(
            request.headers, request.method, request.rel_url.raw_path, request.rel_url.query, body
        )
        operation = f"{context.service}:{context.operation}"
        calls = self._calls.setdefault(operation, Calls())
        calls.count += 1
        calls.bytes_in += len(body)
        if operation == "dynamodb:BatchExecuteStatement":
            calls.statements += len(json.loads(body)["Statements"])
        order = self._order_for(operation)
        if order and not order.after:
            if order.action == "error":
                status, headers, text = render_error(
                    context.service,
                    order.code,
                    "injected",
                    order.status,
                    protocol=context.protocol,
                    query_compat=context.query_compat,
                    request_ct=request.headers.get("Content-Type"),
                    resource=context.path,
                )
                calls.statuses[status] += 1
                return web.Response(status=status, headers=headers, body=text)
            if order.action in _SIGNALS:
                await self._signal_caller(request, _SIGNALS[order.action])
                if order.action == "kill":
                    return self._abort(request)
            elif order.action == "slow":
                await asyncio.sleep(order.seconds)
        if order and order.action == "duplicate":
            await self._forward(request, body)
        response = await self._forward(request, body)
        calls.statuses[response.status] += 1
        calls.bytes_out += len(response.body) if isinstance(response.body, bytes) else 0
        if order and order.after:
            if order.action == "lost":
                return self._abort(request)
            await self._signal_caller(request, _SIGNALS[order.action])
        return response

    def _order_for(self, operation: str) -> Order | None:
        now = asyncio.get_running_loop().time()
        self._orders = [order for order in self._orders if order.times > 0 and order.expires > now]
        for order in self._orders:
            if operation in order.operations:
                order.times -= 1
                self._hits[order.name] += 1
                return order
        return None

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        await self._open.wait()
        # To the letter: another spelling of the same path would break its signature.
        url = URL(self._upstream + request.raw_path, encoded=True)
        self._in_flight += 1
        self._idle.clear()
        try:
            async with self._session.request(
                request.method,
                url,
                headers=end_to_end(request.headers.items()),
                data=body,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Content-Type", "Accept-Encoding"),
            ) as answer:
                read = await answer.read()
                return web.Response(
                    status=answer.status, headers=end_to_end(answer.headers.items()), body=read
                )
        except aiohttp.ClientError:
            # Nobody there: to the caller that must look the same.
            return self._abort(request)
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    @staticmethod
    def _abort(request: web.Request) -> web.Response:
        if request.transport:
            request.transport.abort()
        return web.Response(status=500)  # never written

    @staticmethod
    async def _signal_caller(request: web.Request, number: signal.Signals) -> None:
        if not request.transport:
            return
        caller, here = (request.transport.get_extra_info(name) for name in ("peername", "sockname"))
        if not caller or not here:
            return
        connections = await asyncio.to_thread(psutil.net_connections, "tcp")
        for connection in connections:
            # Both ends: a client of another server may have the same port on its own.
            if (
                connection.pid
                and connection.laddr
                and connection.raddr
                and (connection.laddr[1], connection.raddr[1]) == (caller[1], here[1])
            ):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(connection.pid, number)


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description="A proxy that breaks AWS calls on order")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    web.run_app(
        Proxy(options.upstream).application(),
        host=options.host,
        port=options.port,
        print=None,
        access_log=None,
        shutdown_timeout=1,
    )


if __name__ == "__main__":
    main()
