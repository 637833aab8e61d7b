"""The schemas of the wire and the table of sale conditions against what is agreed on."""

import io
import json
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.read import SchemaResolutionError
from fastavro.utils import generate_many

from common.schemas import (
    Condition,
    Schema,
    events_schema,
    read_schema,
    trade_conditions,
    trades_schema,
    trades_schemas,
)

TRADES_FINGERPRINT = "11e5bddbbac67e60"


def test_the_schema_of_trades_is_the_one_that_messages_in_kafka_have() -> None:
    assert trades_schema().fingerprint == TRADES_FINGERPRINT
    assert trades_schemas()[TRADES_FINGERPRINT] == trades_schema()


def can_read(reader: Schema, writer: Schema) -> bool:
    """Return whether one schema understands what was written by another, by many messages of any content."""
    for record in generate_many(writer.parsed, 50):
        value = io.BytesIO()
        fastavro.schemaless_writer(value, writer.parsed, record)
        value.seek(0)
        try:
            fastavro.schemaless_reader(value, writer.parsed, reader.parsed)
        except SchemaResolutionError:
            return False
    return True


def changed(folder: Path, trade_fields: list[dict[str, Any]]) -> Schema:
    """Return the schema of trades with other fields of a trade."""
    schema = json.loads(trades_schema().text)
    schema["fields"][0]["type"]["items"]["fields"] = trade_fields
    (folder / "changed.avsc").write_text(json.dumps(schema))
    return read_schema(folder / "changed.avsc")


def fields() -> list[dict[str, Any]]:
    found = json.loads(trades_schema().text)["fields"][0]["type"]["items"]["fields"]
    assert isinstance(found, list)
    return found


def test_messages_of_every_former_version_are_readable() -> None:
    assert all(can_read(trades_schema(), former) for former in trades_schemas().values())


def test_a_field_with_a_default_is_a_compatible_change(tmp_path: Path) -> None:
    venue = {"name": "venue", "type": ["null", "string"], "default": None}
    assert can_read(changed(tmp_path, [venue, *fields()]), trades_schema())
    assert can_read(changed(tmp_path, [one | {"doc": "said"} for one in fields()]), trades_schema())


@pytest.mark.parametrize(
    "change",
    [
        lambda trade: [{"name": "venue", "type": "string"}, *trade],
        lambda trade: [one | {"type": "string"} if one["name"] == "p" else one for one in trade],
        lambda trade: [one | {"type": "int"} if one["name"] == "t" else one for one in trade],
        lambda trade: [one | {"name": "price"} if one["name"] == "p" else one for one in trade],
    ],
)
def test_an_incompatible_change_would_be_noticed(tmp_path: Path, change: Any) -> None:
    assert not can_read(changed(tmp_path, change(fields())), trades_schema())


def test_a_feed_event_has_the_columns_of_its_table_but_the_day() -> None:
    names = [field["name"] for field in events_schema().parsed["fields"]]
    assert names == ["at", "session", "kind", "detail", "gap_seconds"]


def test_sale_conditions_restrict_what_a_trade_updates() -> None:
    volume_only = ("3", "5", "10", "12", "17", "22", "25", "26", "37")
    no_open_or_close = ("9", "15", "21", "30", "32")
    expected = {
        **{code: Condition(code, "no", high_low=False, volume=True) for code in volume_only},
        **{code: Condition(code, "only alone", high_low=True, volume=True) for code in no_open_or_close},
        **{code: Condition(code, "no", high_low=False, volume=False) for code in ("16", "20")},
        "24": Condition("24", "yes", high_low=True, volume=True),
        "39": Condition("39", "yes", high_low=True, volume=False),
    }
    assert {condition.code: condition for condition in trade_conditions()} == expected
