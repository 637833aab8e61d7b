"""Trades and events as Avro: byte for byte what fastavro writes."""

import io
from typing import Any

import fastavro
from hypothesis import example, given
from hypothesis import strategies as st

from collector.encoding import Event, encode_event, encode_trades
from common.schemas import events_schema, trades_schema

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
numbers = st.floats() | st.integers(-(2**64), 2**64)
times = st.integers(-(2**63), 2**63 - 1) | st.integers(1_600_000_000_000, 1_800_000_000_000)
codes = st.none() | texts | st.integers(0, 120).map(str)
trades = st.lists(
    st.fixed_dictionaries(
        {"p": numbers, "t": times, "v": numbers},
        optional={"c": st.none() | st.lists(codes, max_size=70), "x": st.none()},
    ),
    min_size=1,
    max_size=70,
)
EDGES = [
    0,
    -1,
    1,
    63,
    64,
    -64,
    -65,
    2**13 - 1,
    2**13,
    2**14 - 1,
    2**14,
    2**14 + 1,
    2**62,
    2**63 - 1,
    -(2**63),
]


def by_fastavro(kind: str, trades: list[dict[str, Any]]) -> bytes:
    value = io.BytesIO()
    fastavro.schemaless_writer(value, trades_schema().parsed, {"data": trades, "type": kind})
    return value.getvalue()


@given(texts, texts, trades)
@example("trade", "AAPL", [{"p": 1, "t": edge, "v": 0.5} for edge in EDGES])
def test_trades_are_laid_out_as_fastavro_does(kind: str, symbol: str, trades: list[dict[str, Any]]) -> None:
    trades = [trade | {"s": symbol} for trade in trades]
    value = encode_trades(kind, symbol, trades)
    assert value == by_fastavro(kind, trades)
    decoded: Any = fastavro.schemaless_reader(io.BytesIO(value), trades_schema().parsed, None)
    assert [trade["t"] for trade in decoded["data"]] == [trade["t"] for trade in trades]


def test_the_schema_of_trades_is_the_one_that_readers_know() -> None:
    assert trades_schema().fingerprint == "11e5bddbbac67e60"


def test_an_event_reads_back_from_avro() -> None:
    event = Event(5, "feed-4", "gap", "nothing was received", 1.25)
    decoded = fastavro.schemaless_reader(io.BytesIO(encode_event(event)), events_schema().parsed, None)
    assert decoded == event._asdict()
