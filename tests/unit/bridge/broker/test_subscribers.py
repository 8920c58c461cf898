"""The broker's index of subscriptions finds what a filter by itself matches, for random filters and topics."""

import random
from itertools import product

from bridge.broker.subscribers import Subscribers
from bridge.topics import matcher

_SEED = 20261125


def _filters() -> list[str]:
    """Return all topic filters of up to three levels of few names."""
    names = ("a", "$b", "", "+")
    whole = ["/".join(levels) for size in (1, 2, 3) for levels in product(names, repeat=size)]
    ending = ["/".join((*levels, "#")) for size in (0, 1, 2) for levels in product(names, repeat=size)]
    return [one for one in (*whole, *ending) if one]


def _topics() -> list[str]:
    names = ("a", "$b", "c", "")
    return [
        "/".join(levels) for size in (1, 2, 3, 4) for levels in product(names, repeat=size) if any(levels)
    ]


def test_the_index_finds_for_every_topic_what_each_filter_matches_by_itself() -> None:
    print(f"seed {_SEED}")
    chance = random.Random(_SEED)
    filters = _filters()
    of_clients = {f"client-{n}": chance.sample(filters, 12) for n in range(20)}
    index = Subscribers()
    for client_id, topic_filters in of_clients.items():
        for topic_filter in topic_filters:
            index.add(client_id, topic_filter)
    # Half of it goes again, so that what is left behind would be seen.
    for client_id in list(of_clients)[::2]:
        gone = of_clients[client_id][:8]
        index.remove(client_id, gone)
        of_clients[client_id] = of_clients[client_id][8:]
    for topic in _topics():
        expected = {
            client_id: sorted(one for one in topic_filters if matcher(one)(topic))
            for client_id, topic_filters in of_clients.items()
        }
        found = {client_id: sorted(matched) for client_id, matched in index.matching(topic).items()}
        assert found == {client_id: matched for client_id, matched in expected.items() if matched}, topic


def test_an_index_whose_clients_are_gone_holds_nothing() -> None:
    index = Subscribers()
    for n in range(10):
        for topic_filter in ("a/+/c", f"a/{n}/#", "#", "a"):
            index.add(f"client-{n}", topic_filter)
    for n in range(10):
        index.remove(f"client-{n}", ("a/+/c", f"a/{n}/#", "#", "a", "never/there"))
    assert index.empty


def test_a_shared_subscription_is_not_in_it() -> None:
    index = Subscribers()
    index.add("one", "$share/group/a")
    assert index.matching("a") == index.matching("$share/group/a") == {}
