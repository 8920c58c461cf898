"""Requests that arrive by MQTT: each is dealt with once, its answers are published, and then it is acknowledged."""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from bridge.data_plane.session import DataPlaneSession, Outgoing, Received
from bridge.data_plane.store import Redeliveries, Store, digest

log = structlog.get_logger()

# Deals with a topic, a payload and who published it, in the store's transaction; returns whether they were for it.
Handler = Callable[[str, bytes, str | None], bool]

# Requests of one transaction, and answers on their way at once.
_BATCH, _ON_THE_WAY = 200, 500

# Nobody subscribes to it: the broker's acknowledgement says that it has all that was sent before.
_MARK_TOPIC = "$bridge/data-plane"


class Requests:
    """Takes requests in their order, several in one transaction."""

    def __init__(self, store: Store, handlers: Sequence[Handler], answers: "Answers") -> None:
        """Take nothing yet.

        Args:
            store: state and answers.
            handlers: asked in turn.
            answers: published when a transaction is committed.
        """
        self._store, self._handlers, self._answers = store, handlers, answers
        # None is where a connection begins.
        self._arrived: asyncio.Queue[Received | None] = asyncio.Queue()
        self._redeliveries = Redeliveries()

    def connected(self) -> None:
        """Expect that a new connection begins with what the last one left open."""
        self._arrived.put_nowait(None)

    def receive(self, received: Received) -> None:
        """Take a message."""
        self._arrived.put_nowait(received)

    async def run(self, session: DataPlaneSession) -> None:
        """Deal with what arrives, for ever."""
        while True:
            batch = [await self._arrived.get()]
            while len(batch) < _BATCH and not self._arrived.empty():
                batch.append(self._arrived.get_nowait())
            # Those of a connection that has ended, too: a broker that was killed may have forgotten them.
            with self._store.transaction():
                for received in batch:
                    if received is None:
                        self._redeliveries = Redeliveries(self._store.handled())
                    else:
                        self._deal_with(received)
            self._answers.more()
            for received in filter(None, batch):
                session.acknowledge(received)
            mark = session.send(Outgoing(_MARK_TOPIC, b""))
            mark.add_done_callback(self._when_confirmed(self._store.newest_handled()))

    def _deal_with(self, received: Received) -> None:
        own = digest(received.topic, received.payload, received.publisher)
        if self._redeliveries.came_again(own):
            log.info("request_came_again", topic=received.topic)
            return
        try:
            with self._store.transaction():
                if not any(
                    handle(received.topic, received.payload, received.publisher) for handle in self._handlers
                ):
                    log.warning("request_for_nobody", topic=received.topic)
        except Exception:
            # Not again and again: its neighbours wait behind it.
            log.exception("request_failed", topic=received.topic, publisher=received.publisher)
        self._store.note_handled(own)

    def _when_confirmed(self, number: int) -> Callable[[asyncio.Future[str | None]], None]:
        def forget(mark: asyncio.Future[str | None]) -> None:
            if not mark.cancelled():
                self._store.confirm_handled(number)

        return forget


class Answers:
    """Publishes the store's answers in their order, until the broker has each."""

    def __init__(self, store: Store) -> None:
        """Publish nothing yet."""
        self._store = store
        self._more = asyncio.Event()
        self._more.set()
        self._room = asyncio.Semaphore(_ON_THE_WAY)
        self._done: list[int] = []

    def more(self) -> None:
        """Look for answers: a transaction was committed."""
        self._more.set()

    async def run(self, session: DataPlaneSession) -> None:
        """Publish what there is, for ever; what a killed process left as well."""
        last = 0
        while True:
            await self._more.wait()
            self._more.clear()
            while found := self._store.answers(last, _ON_THE_WAY):
                for answer in found:
                    await self._room.acquire()
                    last = answer.number
                    sent = session.send(Outgoing(answer.topic, answer.payload))
                    sent.add_done_callback(self._when_sent(answer.number))
            self._forget()

    def _when_sent(self, number: int) -> Callable[[asyncio.Future[str | None]], None]:
        def note(sent: asyncio.Future[str | None]) -> None:
            self._room.release()
            if not sent.cancelled():
                self._done.append(number)
                self._more.set()

        return note

    def _forget(self) -> None:
        done, self._done = self._done, []
        if done:
            with self._store.transaction():
                self._store.answered(done)
