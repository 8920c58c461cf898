"""Keep the tags that a stream is made with.

CreateStream of ministack 1.5.33 drops them. hashicorp/aws 6 sends tags there, and would plan them again at each apply.
"""

from typing import Any

from ministack.services import kinesis

_create = kinesis._create_stream


def _create_with_tags(data: dict[str, Any]) -> Any:
    answer = _create(data)
    if answer[0] == 200:
        kinesis._streams[data["StreamName"]]["tags"] = dict(data.get("Tags") or {})
    return answer


def patch() -> None:
    """Have CreateStream take tags."""
    kinesis._create_stream = _create_with_tags
