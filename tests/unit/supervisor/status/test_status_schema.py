"""docs/status.schema.json describes what `/status` answers."""

import re
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from shared.errors import HOLD_REASONS
from supervisor.status.status import Status

SCHEMA = Path(__file__).parents[4] / "docs" / "status.schema.json"

# Any: JSON whose shape is what is tested.
Node = dict[str, Any]


def bare(node: Any) -> Any:
    """A schema without its words."""
    if isinstance(node, list):
        return [bare(each) for each in node]
    if not isinstance(node, dict):
        return node
    words = {"title", "description", "$schema"}
    return {key: bare(value) for key, value in node.items() if key not in words or isinstance(value, dict)}


def definitions(schema: Node) -> dict[str, Node]:
    return {"Status": schema, **schema["$defs"]}


def test_schema_has_each_field_and_value_of_the_status() -> None:
    documented = orjson.loads(SCHEMA.read_bytes())
    assert bare(documented) == bare(TypeAdapter(Status).json_schema()), (
        f"the status has changed: bring {SCHEMA.name} up to date"
    )


def test_schema_says_what_each_field_means() -> None:
    for name, definition in definitions(orjson.loads(SCHEMA.read_bytes())).items():
        assert definition.get("description"), name
        for field, node in definition.get("properties", {}).items():
            assert node.get("description"), f"{name}.{field}"


def test_schema_names_each_reason_of_a_hold() -> None:
    reason = orjson.loads(SCHEMA.read_bytes())["$defs"]["HoldStatus"]["properties"]["reason"]
    assert set(re.findall(r"\w+", reason["description"])) - {"or"} == HOLD_REASONS
