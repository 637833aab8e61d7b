"""The rows that Spark writes against the tables of the schema."""

import pytest

from cql import read_tables
from stream_processor.bars import BAR_COLUMNS, SUMS
from stream_processor.columns import Columns, ddl
from stream_processor.messages import EVENT_COLUMNS, TRADE_COLUMNS
from stream_processor.store import STORED_TRADE_COLUMNS

SPARK_TYPES = {
    "text": "string",
    "timestamp": "timestamp",
    "double": "double",
    "bigint": "bigint",
    "date": "date",
    "frozen<list<text>>": "array<string>",
}


@pytest.mark.parametrize(
    ("table", "columns"),
    [("bars_5s", BAR_COLUMNS), ("trades", TRADE_COLUMNS), ("feed_events", EVENT_COLUMNS)],
)
def test_spark_writes_every_column_of_a_table(table: str, columns: Columns) -> None:
    stored = read_tables()[table].columns
    assert columns == {name: SPARK_TYPES[kind] for name, kind in stored.items()}


def test_bars_add_up_columns_that_they_have() -> None:
    assert set(SUMS) <= set(BAR_COLUMNS)


def test_trades_are_read_back_as_they_are_written() -> None:
    place = {"trade_id": "bigint"}
    assert STORED_TRADE_COLUMNS.items() - place.items() <= TRADE_COLUMNS.items()
    assert STORED_TRADE_COLUMNS.items() >= place.items()


def test_columns_become_sparks_schema_string() -> None:
    assert ddl({"symbol": "string", "codes": "array<string>"}) == "symbol string, codes array<string>"
