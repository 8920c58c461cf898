"""The Device Shadow service by AWS's own examples and rules: "Device Shadow service documents", developer guide."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.data_plane.errors import ServiceError
from bridge.data_plane.shadows import Shadows
from bridge.data_plane.store import Store

PREFIX = "$aws/things/lamp/shadow"


class Service:
    """The service with a store of its own, and what it has answered."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store.sqlite")
        self.shadows = Shadows(self.store)
        self._seen = 0

    def ask(self, verb: str, document: Any = b"", *, name: str = "") -> dict[str, Any]:
        """Publish a request; returns the answers by the rest of their topic."""
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        prefix = f"{PREFIX}/name/{name}" if name else PREFIX
        assert self.shadows.handle(f"{prefix}/{verb}", payload)
        answers = self.store.answers(self._seen, 100)
        self._seen = max([self._seen, *(answer.number for answer in answers)])
        return {answer.topic.removeprefix(f"{prefix}/"): json.loads(answer.payload) for answer in answers}

    def state(self, **sections: Any) -> dict[str, Any]:
        """Update these sections, and return the document's state then."""
        self.ask("update", {"state": sections})
        found: dict[str, Any] = self.ask("get")["get/accepted"]["state"]
        return found


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def test_an_update_answers_accepted_delta_and_documents(service: Service) -> None:
    service.ask("update", {"state": {"reported": {"color": "GREEN", "engine": "ON"}}})
    answers = service.ask(
        "update", {"state": {"desired": {"color": "RED", "state": "STOP"}}, "clientToken": "t", "version": 1}
    )
    assert answers.keys() == {"update/accepted", "update/delta", "update/documents"}
    accepted, delta, documents = answers.values()
    stamp = {"timestamp": accepted["timestamp"]}
    assert accepted["state"] == {"desired": {"color": "RED", "state": "STOP"}}
    assert accepted["metadata"] == {"desired": {"color": stamp, "state": stamp}}
    assert (accepted["version"], accepted["clientToken"]) == (2, "t")
    assert delta["state"] == {"color": "RED", "state": "STOP"}
    assert delta["metadata"] == {"color": stamp, "state": stamp}
    assert documents["previous"]["version"] == 1
    assert documents["previous"]["state"] == {"reported": {"color": "GREEN", "engine": "ON"}}
    assert documents["current"]["state"]["desired"] == {"color": "RED", "state": "STOP"}
    assert {one["clientToken"] for one in answers.values()} == {"t"}


def test_a_delta_has_the_path_to_what_differs_and_whole_arrays(service: Service) -> None:
    desired = {"lights": {"color": {"r": 255, "g": 255, "b": 255}}, "list": [1, 2], "same": [1]}
    reported = {"lights": {"color": {"r": 255, "g": 0, "b": 255}}, "list": [1], "same": [1], "more": 1}
    found = service.state(desired=desired, reported=reported)
    assert found["delta"] == {"lights": {"color": {"g": 255}}, "list": [1, 2]}


def test_a_delta_tells_true_from_one_and_not_one_from_one_point_zero(service: Service) -> None:
    found = service.state(desired={"a": True, "b": 1}, reported={"a": 1, "b": 1.0})
    assert found["delta"] == {"a": True}


def test_no_delta_is_published_when_reported_is_what_is_desired(service: Service) -> None:
    service.ask("update", {"state": {"desired": {"on": True}}})
    assert "update/delta" not in service.ask("update", {"state": {"reported": {"on": True}}})


@pytest.mark.parametrize(
    ("patch", "state"),
    [
        ({"reported": {"a": None}}, {"reported": {"b": {"c": 1, "d": 2}}}),
        ({"reported": {"b": {"c": None}}}, {"reported": {"a": [1, 2], "b": {"d": 2}}}),
        ({"reported": {"a": [3]}}, {"reported": {"a": [3], "b": {"c": 1, "d": 2}}}),
        ({"reported": {"b": "text"}}, {"reported": {"a": [1, 2], "b": "text"}}),
        ({"reported": None}, {}),
        ({"reported": {"a": None, "b": None}}, {}),
        ({"reported": {}}, {"reported": {"a": [1, 2], "b": {"c": 1, "d": 2}}}),
        ({"reported": {"b": {"c": None, "d": None}}}, {"reported": {"a": [1, 2], "b": {}}}),
        ({"reported": {"e": {}}}, {"reported": {"a": [1, 2], "b": {"c": 1, "d": 2}, "e": {}}}),
        # Of a new object that holds nothing but null there is nothing, as in Greengrass's shadow manager (JsonMerger).
        ({"reported": {"e": {"f": None}}}, {"reported": {"a": [1, 2], "b": {"c": 1, "d": 2}}}),
        ({"desired": {"e": {"f": {"g": None}}}}, {"reported": {"a": [1, 2], "b": {"c": 1, "d": 2}}}),
    ],
)
def test_null_deletes_objects_merge_and_arrays_are_replaced(
    service: Service, patch: dict[str, Any], state: dict[str, Any]
) -> None:
    service.state(reported={"a": [1, 2], "b": {"c": 1, "d": 2}})
    assert service.state(**patch) == state
    metadata = service.ask("get")["get/accepted"]["metadata"]
    assert metadata.keys() == state.keys()
    assert metadata.get("reported", {}).keys() == state.get("reported", {}).keys()


def test_a_null_state_empties_the_document_and_keeps_the_shadow(service: Service) -> None:
    """ "Deleting a shadow": setting the state to null does not delete the shadow."""
    service.state(desired={"a": 1}, reported={"b": 1})
    assert service.ask("update", {"state": None})["update/accepted"]["version"] == 2
    assert service.ask("get")["get/accepted"]["state"] == {}


def test_metadata_keep_the_time_of_what_was_not_touched(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bridge.data_plane.shadows._now", lambda: 100)
    service.state(reported={"a": 1, "b": {"c": 1, "d": [1, 2]}})
    monkeypatch.setattr("bridge.data_plane.shadows._now", lambda: 200)
    service.state(reported={"b": {"c": 2}})
    metadata = service.ask("get")["get/accepted"]["metadata"]["reported"]
    assert metadata == {
        "a": {"timestamp": 100},
        "b": {"c": {"timestamp": 200}, "d": [{"timestamp": 100}, {"timestamp": 100}]},
    }


def nested(levels: int) -> Any:
    """Make an object of so many levels."""
    return {"x": nested(levels - 1)} if levels > 1 else {"x": 1}


@pytest.mark.parametrize(
    ("document", "code", "message"),
    [
        (b"{", 400, "Invalid JSON"),
        (b"[]", 400, "Invalid JSON"),
        (b"\xff", 415, "Unsupported documented encoding"),
        (b'{"state": {"reported": {"a": NaN}}}', 400, "Invalid JSON"),
        ({}, 400, "Missing required node: state"),
        ({"state": 1}, 400, "State node must be an object"),
        ({"state": {"desired": 1}}, 400, "Desired node must be an object"),
        ({"state": {"reported": []}}, 400, "Reported node must be an object"),
        ({"state": {"other": {}}}, 400, "invalid node"),
        ({"state": {}, "version": "1"}, 400, "Invalid version"),
        ({"state": {}, "clientToken": "x" * 65}, 400, "Invalid clientToken"),
        ({"state": {"reported": {"a": [None, 1]}}}, 400, "array"),
        ({"state": {"reported": nested(9)}}, 400, "too many levels of nesting; maximum is 8"),
        ({"state": {"reported": {"a": "x" * 8192}}}, 413, "exceeds the maximum size"),
        ({"state": {"reported": {"a": 1}}, "version": 7}, 409, "Version conflict"),
    ],
)
def test_what_aws_refuses_is_rejected_and_changes_nothing(
    service: Service, document: Any, code: int, message: str
) -> None:
    """Codes of "Device Shadow error messages"."""
    service.state(reported={"kept": 1})
    answers = service.ask("update", document)
    assert answers.keys() == {"update/rejected"}
    assert answers["update/rejected"]["code"] == code
    assert message in answers["update/rejected"]["message"]
    found = service.ask("get")["get/accepted"]
    assert (found["state"], found["version"]) == ({"reported": {"kept": 1}}, 1)


def test_eight_levels_and_eight_kilobytes_are_taken(service: Service) -> None:
    assert service.state(reported=nested(8))["reported"] == nested(8)
    text = "x" * (8192 - len('{"a":""}'))
    assert "update/accepted" in service.ask("update", {"state": {"reported": None}})
    assert "update/accepted" in service.ask("update", {"state": {"reported": {"a": text}}})


def test_a_version_goes_on_after_a_delete(service: Service) -> None:
    """ "Deleting a shadow does not reset its version number to 0"."""
    service.state(reported={"a": 1})
    assert service.ask("delete", b"whatever")["delete/accepted"]["version"] == 1
    refusal = service.ask("get", {"clientToken": "mine"})["get/rejected"]
    assert (refusal["code"], refusal["clientToken"]) == (404, "mine")
    assert service.ask("delete")["delete/rejected"]["code"] == 404
    assert service.ask("update", {"state": {"reported": {"a": 1}}})["update/accepted"]["version"] == 2


async def _listed(service: Service, **parameters: Any) -> Any:
    return await service.shadows.list_named_shadows({"thingName": "lamp", **parameters})


def test_named_shadows_are_listed_page_by_page_without_the_classic_one(service: Service) -> None:
    import asyncio

    service.ask("update", {"state": {"reported": {"a": 1}}})
    for name in ("c", "a", "b"):
        answers = service.ask("update", {"state": {"reported": {"a": 1}}}, name=name)
        assert answers["update/accepted"]["version"] == 1
    service.ask("delete", name="b")
    first = asyncio.run(_listed(service, pageSize=1))
    assert first["results"] == ["a"]
    second = asyncio.run(_listed(service, pageSize=1, nextToken=first["nextToken"]))
    assert second["results"] == ["c"]
    assert "nextToken" not in second
    with pytest.raises(ServiceError, match="pageSize"):
        asyncio.run(_listed(service, pageSize=101))


def test_a_refused_http_update_says_nothing_over_mqtt(service: Service) -> None:
    """ "Device Shadow error messages": the REST API's caller gets the code, and no MQTT message is emitted."""
    import asyncio

    with pytest.raises(ServiceError):
        asyncio.run(service.shadows.update_thing_shadow({"thingName": "lamp", "payload": b"{}"}))
    assert service.store.answers(0, 10) == []
