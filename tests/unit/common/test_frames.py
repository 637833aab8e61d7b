"""Every trade of a frame is either good, and Avro can express it, or refused with a reason."""

import io
import json
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.frames import read_frame
from common.identity import MAX_TRADES_PER_MESSAGE
from common.schemas import trades_schema

GOOD = {"c": ["1"], "p": 10.5, "s": "AAPL", "t": 1_700_000_000_000, "v": 100}


def values_with(floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers(-(2**70), 2**70) | floats | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=5,
    )


finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = values_with(finite)
python_values = values_with(st.floats())  # JSON has neither infinity nor NaN, yet Python writes them
numbers = finite | st.integers(0, 10**9)
good_trades = st.fixed_dictionaries(
    {
        "p": numbers,
        "s": st.sampled_from(["AAPL", "BINANCE:BTCUSDT", ""]),
        "t": st.integers(-(2**63), 2**63 - 1),
        "v": numbers,
    },
    optional={"c": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=4), "x": json_values},
)
broken_trades = good_trades.flatmap(
    lambda trade: st.tuples(st.sampled_from(["p", "s", "t", "v", "c"]), python_values).map(
        lambda change: trade | {change[0]: change[1]}
    )
)


def frame(*trades: Any) -> str:
    return json.dumps({"data": trades, "type": "trade"})


@given(st.lists(good_trades | broken_trades | python_values, max_size=12))
def test_reading_a_frame_loses_nothing_and_keeps_the_order(trades: list[Any]) -> None:
    text = frame(*trades)
    try:
        data = orjson.loads(text)["data"]
    except orjson.JSONDecodeError:
        [refused] = read_frame(text).refused
        assert refused.content == text
        return
    content = read_frame(text)
    assert content.trade_count == len(trades)
    refused_positions = {refused.position for refused in content.refused}
    kept = [trade for position, trade in enumerate(data) if position not in refused_positions]
    by_symbol: dict[str, list[Any]] = {}
    for trade in kept:
        by_symbol.setdefault(trade["s"], []).append(trade)
    assert content.trades == by_symbol
    assert all(refused.reason and refused.content for refused in content.refused)


@given(st.lists(good_trades, min_size=1, max_size=12))
def test_avro_gives_back_what_a_good_frame_held(trades: list[dict[str, Any]]) -> None:
    content = read_frame(frame(*trades))
    assert not content.refused
    schema = trades_schema().parsed
    for symbol, group in content.trades.items():
        value = io.BytesIO()
        fastavro.schemaless_writer(value, schema, {"data": group, "type": "trade"})
        value.seek(0)
        decoded = fastavro.schemaless_reader(value, schema, None)
        expected = [
            {"c": one.get("c"), "p": float(one["p"]), "s": symbol, "t": one["t"], "v": float(one["v"])}
            for one in trades
            if one["s"] == symbol
        ]
        assert decoded == {"data": expected, "type": "trade"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p": None}, "p was missing"),
        ({"p": "10.5"}, "p was missing"),
        ({"p": True}, "p was missing"),
        ({"v": []}, "v was missing"),
        ({"t": "now"}, "t was missing"),
        ({"t": 1.5}, "t was missing"),
        ({"t": 2**63}, "t was missing"),
        ({"s": None}, "s was missing"),
        ({"s": 5}, "s was missing"),
        ({"c": "1"}, "c was neither"),
        ({"c": [1]}, "c was neither"),
    ],
)
def test_what_avro_cannot_express_is_refused_with_its_reason(change: dict[str, Any], reason: str) -> None:
    broken = GOOD | change
    content = read_frame(frame(GOOD, broken, GOOD))
    assert content.trades == {"AAPL": [GOOD, GOOD]}
    [refused] = content.refused
    assert refused.reason.startswith(reason)
    assert refused.position == 1
    assert json.loads(refused.content) == broken


def test_numbers_beyond_a_double_are_refused() -> None:
    content = read_frame('{"data":[{"p":1e999,"s":"AAPL","t":1,"v":1}],"type":"trade"}')
    assert content.trade_count == 1
    assert len(content.refused) == 1


def test_missing_conditions_whole_float_times_and_zero_volumes_are_good() -> None:
    content = read_frame('{"data":[{"p":1,"s":"A","t":1.7e12,"v":0}],"type":"trade"}')
    assert content.trades == {"A": [{"p": 1, "s": "A", "t": 1_700_000_000_000, "v": 0}]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "[1]",
        "7",
        "{}",
        '{"type":"surprise"}',
        '{"type":["trade"]}',
        '{"type":"trade"}',
        '{"type":"trade","data":7}',
    ],
)
def test_a_frame_without_trades_to_read_is_refused_whole(text: str) -> None:
    content = read_frame(text)
    assert content.trade_count == 1
    assert content.refused[0].content == text


@pytest.mark.parametrize("kind", ["ping", "news", "press-release", "error"])
def test_frames_of_other_types_hold_no_trades(kind: str) -> None:
    assert read_frame(json.dumps({"type": kind, "data": [{"headline": "x"}]})).trade_count == 0


def test_more_trades_of_a_symbol_than_an_id_can_count_are_refused() -> None:
    content = read_frame(frame(*[GOOD] * (MAX_TRADES_PER_MESSAGE + 2)))
    assert len(content.trades["AAPL"]) == MAX_TRADES_PER_MESSAGE
    assert len(content.refused) == 2
