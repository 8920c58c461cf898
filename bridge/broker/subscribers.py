"""Who subscribes to a topic, found by the topic's levels and not by asking every session."""

from collections.abc import Iterable

from bridge.topics import SHARED_PREFIX


class _Level:
    """A level of topic filters with wildcards: what may come below it, and who subscribes to what ends here."""

    __slots__ = ("any", "below", "clients", "rest", "topic_filter")

    def __init__(self) -> None:
        self.topic_filter = ""
        self.clients: dict[str, None] = {}
        self.below: dict[str, _Level] = {}
        # Below it by "+" and by "#".
        self.any: _Level | None = None
        self.rest: _Level | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing is here or below."""
        return not (self.clients or self.below or self.any or self.rest)

    def child(self, name: str) -> "_Level | None":
        """Return the level below of this name, if there is one."""
        return self.any if name == "+" else self.rest if name == "#" else self.below.get(name)

    def set_child(self, name: str, level: "_Level | None") -> None:
        """Put a level below, or take it away."""
        if name == "+":
            self.any = level
        elif name == "#":
            self.rest = level
        elif level is None:
            del self.below[name]
        else:
            self.below[name] = level


class Subscribers:
    """Clients by their topic filters, without shared subscriptions.

    Finding a topic's takes as long as the topic has levels, however many clients there are. Which filters match is what
    `bridge.topics.matcher` says.
    """

    def __init__(self) -> None:
        """Know of nobody."""
        # Filters without a wildcard, which most are, and those with one.
        self._exact: dict[str, dict[str, None]] = {}
        self._top = _Level()

    @property
    def empty(self) -> bool:
        """Whether nobody is in it."""
        return not self._exact and self._top.empty

    def add(self, client_id: str, topic_filter: str) -> None:
        """Add a client's subscription; do nothing if there is one, or if it is shared."""
        if topic_filter.startswith(SHARED_PREFIX):
            return
        levels = topic_filter.split("/")
        if "+" not in levels and "#" not in levels:
            self._exact.setdefault(topic_filter, {})[client_id] = None
            return
        level = self._top
        for name in levels:
            below = level.child(name)
            if below is None:
                below = _Level()
                level.set_child(name, below)
            level = below
        level.topic_filter = topic_filter
        level.clients[client_id] = None

    def remove(self, client_id: str, topic_filters: Iterable[str]) -> None:
        """Remove a client's subscriptions, those that there are."""
        for topic_filter in topic_filters:
            if (clients := self._exact.get(topic_filter)) is None:
                self._remove_wild(client_id, topic_filter)
            else:
                clients.pop(client_id, None)
                if not clients:
                    del self._exact[topic_filter]

    def _remove_wild(self, client_id: str, topic_filter: str) -> None:
        levels = topic_filter.split("/")
        path = [self._top]
        for name in levels:
            below = path[-1].child(name)
            if below is None:
                return
            path.append(below)
        path[-1].clients.pop(client_id, None)
        while levels and path.pop().empty:
            path[-1].set_child(levels.pop(), None)

    def matching(self, topic: str) -> dict[str, list[str]]:
        """Return the clients that subscribe to the topic, each with its filters that match."""
        clients = {client_id: [topic] for client_id in self._exact.get(topic, ())}
        for level in self._wild(topic):
            for client_id in level.clients:
                clients.setdefault(client_id, []).append(level.topic_filter)
        return clients

    def _wild(self, topic: str) -> list[_Level]:
        found: list[_Level] = []
        here = [self._top]
        # "#" and "+" in the first level do not match topics that begin with "$".
        wild = not topic.startswith("$")
        for name in topic.split("/"):
            below = []
            for level in here:
                if wild and level.rest is not None:
                    found.append(level.rest)
                if wild and level.any is not None:
                    below.append(level.any)
                if (exact := level.below.get(name)) is not None:
                    below.append(exact)
            if not below:
                return found
            here, wild = below, True
        return found + here
