"""Every trade of a frame is either good, and Avro can express it, or refused with a reason."""

import io
import json
import math
from typing import Any

import fastavro
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from common.frames import read_frame
from common.identity import MAX_SYMBOL_LENGTH, MAX_TRADES_PER_MESSAGE
from common.schemas import trades_schema

GOOD = {"c": ["1"], "p": 10.5, "s": "AAPL", "t": 1_700_000_000_000, "v": 100}
GOOD_TEXT = json.dumps(GOOD)
AMBIGUOUS = "the frame named its type or its data twice"

finite = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
numbers = finite | st.integers(0, 10**9)
good_trades = st.fixed_dictionaries(
    {
        "p": numbers,
        "s": st.sampled_from(["AAPL", "BINANCE:BTCUSDT", ""]),
        "t": st.integers(-(2**63), 2**63 - 1),
        "v": numbers,
    },
    optional={
        "c": st.none() | st.lists(st.none() | st.text(max_size=3), max_size=4),
        "x": json_values,
        "data": json_values,
        "type": json_values,
    },
)
broken_trades = good_trades.flatmap(
    lambda trade: st.tuples(st.sampled_from(["p", "s", "t", "v", "c"]), json_values).map(
        lambda change: trade | {change[0]: change[1]}
    )
)
# What stands where a trade should; with brackets that match, so that its neighbours can be told apart.
damaged_texts = st.sampled_from(
    [
        "nonsense",
        "{",
        "}",
        '{"p":1,,}',
        '{"s":"\\ud800"}',
        '{"p":NaN}',
        "[" * 2000 + "]" * 2000,
        "",
        '{"p":1e999}',
    ]
).filter(lambda text: text.count("{") == text.count("}"))


def frame(*trades: Any) -> str:
    return json.dumps({"data": trades, "type": "trade"})


def frame_of_texts(*trades: str) -> str:
    return f'{{"data":[{",".join(trades)}],"type":"trade"}}'


def same(one: Any, other: Any) -> bool:
    """Compare by text: NaN is not equal to itself."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def is_good(trade: Any) -> bool:
    """Say, by what fastavro can write, whether a trade is good."""
    if type(trade) is not dict or type(trade.get("s")) is not str or len(trade["s"]) > 64:
        return False
    if any(type(trade.get(name)) not in (int, float) for name in "pv"):
        return False
    made = trade.get("t")
    if type(made) is float and made.is_integer():
        trade = trade | {"t": int(made)}
    elif type(made) is not int:
        return False
    try:
        fastavro.schemaless_writer(
            io.BytesIO(), trades_schema().parsed, {"data": [trade], "type": "trade"}, strict=False
        )
    except (ValueError, TypeError, OverflowError, AttributeError):
        return False
    conditions = trade.get("c")
    return conditions is None or (
        type(conditions) is list and all(code is None or type(code) is str for code in conditions)
    )


def by_symbol(trades: list[Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for trade in trades:
        made = trade["t"]
        groups.setdefault(trade["s"], []).append(trade | {"t": int(made)})
    return groups


@given(st.lists(good_trades | broken_trades | json_values, max_size=12))
@example([GOOD, GOOD | {"p": math.nan}, GOOD | {"v": math.inf}, GOOD | {"c": ["\ud800"]}, GOOD])
def test_reading_a_frame_loses_nothing_and_keeps_the_order(trades: list[Any]) -> None:
    content = read_frame(frame(*trades))
    assert content.type == "trade"
    assert content.trade_count == len(trades)
    good = [is_good(trade) for trade in trades]
    assert [refused.position for refused in content.refused] == [
        position for position, kept in enumerate(good) if not kept
    ]
    assert same(content.trades, by_symbol([trade for trade, kept in zip(trades, good, strict=True) if kept]))
    for refused in content.refused:
        assert refused.reason
        assert same(json.loads(refused.content), trades[refused.position])


@given(st.lists(good_trades, min_size=1, max_size=4), st.lists(damaged_texts, max_size=4), st.randoms())
def test_what_is_not_json_costs_itself_alone(good: list[Any], damaged: list[str], rng: Any) -> None:
    pieces = [(json.dumps(trade), True) for trade in good] + [(text, False) for text in damaged]
    rng.shuffle(pieces)
    content = read_frame(frame_of_texts(*(text for text, _ in pieces)))
    assert content.trade_count == len(pieces)
    assert [(refused.position, refused.content) for refused in content.refused] == [
        (position, text) for position, (text, is_trade) in enumerate(pieces) if not is_trade
    ]


@given(st.text() | st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")))
def test_any_text_is_read_without_an_error(text: str) -> None:
    content = read_frame(text)
    assert content.trade_count == len(content.refused) + sum(map(len, content.trades.values()))


@given(st.lists(good_trades | broken_trades, min_size=1, max_size=4), st.data())
def test_a_damaged_frame_is_read_or_refused_whole(trades: list[Any], data: st.DataObject) -> None:
    text = frame(*trades)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    inserted = data.draw(st.text('{}[]",:\\x\ud800', max_size=4))
    damaged = text[:start] + inserted + text[end:]
    content = read_frame(damaged)
    assert content.trades or content.refused or json.loads(damaged)["data"] == []
    for refused in content.refused:
        assert refused.content in damaged


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p": None}, "p was missing or not a number"),
        ({"p": "10.5"}, "p was missing or not a number"),
        ({"p": True}, "p was missing or not a number"),
        ({"v": []}, "v was missing or not a number"),
        ({"t": "now"}, "t was missing or not a whole number of milliseconds"),
        ({"t": 1.5}, "t was missing or not a whole number of milliseconds"),
        ({"t": True}, "t was missing or not a whole number of milliseconds"),
        ({"t": 2**63}, "t was missing or not a whole number of milliseconds"),
        ({"t": -(2**64)}, "t was missing or not a whole number of milliseconds"),
        ({"t": 1e300}, "t was missing or not a whole number of milliseconds"),
        ({"s": None}, "s was missing or not a text"),
        ({"s": 5}, "s was missing or not a text"),
        ({"s": "A" * (MAX_SYMBOL_LENGTH + 1)}, "s was longer than 64 characters"),
        ({"c": "1"}, "c was neither null nor a list of texts"),
        ({"c": [1]}, "c was neither null nor a list of texts"),
    ],
)
def test_what_avro_cannot_express_is_refused_with_its_reason(change: dict[str, Any], reason: str) -> None:
    broken = GOOD | change
    content = read_frame(frame(GOOD, broken, GOOD))
    assert content.trades == {"AAPL": [GOOD, GOOD]}
    [refused] = content.refused
    assert refused == (reason, json.dumps(broken), 1)


@pytest.mark.parametrize("change", [{"t": -(2**63)}, {"t": 2**63 - 1}, {"s": "A" * 64}, {"s": ""}])
def test_the_last_values_that_can_be_expressed_are_kept(change: dict[str, Any]) -> None:
    content = read_frame(frame(GOOD | change))
    assert content == ("trade", {(GOOD | change)["s"]: [GOOD | change]}, [])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"c":["\\ud800"],"p":1,"s":"AAPL","t":1,"v":1}', "s or c held what is not Unicode text"),
        ('{"c":null,"p":1,"s":"\udcff","t":1,"v":1}', "s or c held what is not Unicode text"),
        (f'{{"p":1{"0" * 400},"s":"AAPL","t":1,"v":1}}', "p was missing or not a number"),
        (f'{{"p":1,"s":"AAPL","t":1,"v":1{"0" * 400}}}', "v was missing or not a number"),
        ('{"p":1,"s":"AAPL","t":NaN,"v":1}', "t was missing or not a whole number of milliseconds"),
        ('{"p":1,"s":"AAPL","t":1e999,"v":1}', "t was missing or not a whole number of milliseconds"),
        ("[" * 100_000 + "]" * 100_000, "the trade was not JSON"),
        ('{"p":1,"s":}', "the trade was not JSON"),
        (f'{{"p":{"1" * 5000}}}', "the trade was not JSON"),
    ],
)
def test_good_neighbours_of_what_no_strict_reader_takes_are_kept(bad: str, reason: str) -> None:
    content = read_frame(frame_of_texts(GOOD_TEXT, bad, GOOD_TEXT))
    assert content.trades == {"AAPL": [GOOD, GOOD]}
    assert content.refused == [(reason, bad, 1)]


def test_a_refused_trade_is_told_however_deep_it_is_nested() -> None:
    bad = '{"p":' + "[" * 1000 + "]" * 1000 + "}"
    assert orjson.loads(frame_of_texts(bad))
    content = read_frame(frame_of_texts(GOOD_TEXT, bad))
    assert content.trades == {"AAPL": [GOOD]}
    assert content.refused == [("p was missing or not a number", bad, 1)]


@pytest.mark.parametrize(
    "change",
    [{"p": 0}, {"p": -1.5}, {"v": -1}, {"t": 1_700_000_000}, {"t": 2**62}, {"p": math.nan}, {"v": math.inf}],
)
def test_what_can_be_expressed_keeps_its_place_though_it_cannot_be_true(change: dict[str, Any]) -> None:
    content = read_frame(frame(GOOD, GOOD | change, GOOD))
    assert same(content.trades, {"AAPL": [GOOD, GOOD | change, GOOD]})
    assert content.refused == []


def test_missing_conditions_whole_float_times_and_zero_volumes_are_good() -> None:
    content = read_frame('{"data":[{"p":1,"s":"A","t":1.7e12,"v":0}],"type":"trade"}')
    assert content == ("trade", {"A": [{"p": 1, "s": "A", "t": 1_700_000_000_000, "v": 0}]}, [])
    assert type(content.trades["A"][0]["t"]) is int


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        ("", "", "the frame was not JSON"),
        ("nonsense", "", "the frame was not JSON"),
        (frame(GOOD)[:-1], "", "the frame was not JSON"),
        (frame(GOOD) + "x", "", "the frame was not JSON"),
        (frame(GOOD)[:-1] + "]", "", "the frame was not JSON"),
        ('{"type":"trade","data":["}', "", "the frame was not JSON"),
        ('{type:"trade","data":[NaN]}', "", "the frame was not JSON"),
        ('{"type" "trade","data":[NaN]}', "", "the frame was not JSON"),
        ("[1]", "", "the frame had no known type"),
        ("7", "", "the frame had no known type"),
        ("{}", "", "the frame had no known type"),
        ('{"type":"surprise"}', "", "the frame had no known type"),
        ('{"type":["trade"]}', "", "the frame had no known type"),
        ('{"type":NaN,"data":[]}', "", "the frame had no known type"),
        ('{"type":"trade"}', "trade", "the frame had no list of trades"),
        ('{"type":"trade","data":7}', "trade", "the frame had no list of trades"),
        ('{"type":"trade","data":NaN}', "trade", "the frame had no list of trades"),
        (f'{{"type":"trade","data":[{GOOD_TEXT}],"data":[]}}', "", AMBIGUOUS),
        (f'{{"type":"trade","data":[{GOOD_TEXT}],"data":[NaN]}}', "", AMBIGUOUS),
        (f'{{"type":"trade","data":[{GOOD_TEXT}],"d\\u0061ta":[]}}', "", AMBIGUOUS),
        (f'{{"type":"trade","data":[{GOOD_TEXT}],"type":"ping"}}', "", AMBIGUOUS),
    ],
)
def test_a_frame_without_trades_to_read_is_refused_whole(text: str, kind: str, reason: str) -> None:
    assert read_frame(text) == (kind, {}, [(reason, text, 0)])


@pytest.mark.parametrize("symbol", ['"data"', "type", "data", '\\"type\\"', "\\\\"])
def test_texts_that_look_like_a_second_key_are_none(symbol: str) -> None:
    text = f'{{"data":[{{"p":1,"s":{json.dumps(symbol)},"t":1,"v":1,"data":1,"type":2}}],"type":"trade"}}'
    content = read_frame(text)
    assert list(content.trades) == [symbol]
    assert content.refused == []


@pytest.mark.parametrize(
    "text", ['{"data":[],"type":"trade"}', ' {"data" : [ ] , "x":NaN, "type" : "trade"} ']
)
def test_a_frame_may_hold_no_trades(text: str) -> None:
    assert read_frame(text) == ("trade", {}, [])


@pytest.mark.parametrize("kind", ["ping", "news", "press-release", "error"])
@pytest.mark.parametrize("headline", ["x", "\ud800"])
def test_frames_of_other_types_hold_no_trades(kind: str, headline: str) -> None:
    assert read_frame(json.dumps({"type": kind, "data": [{"headline": headline}]})) == (kind, {}, [])


def test_more_trades_of_a_symbol_than_an_id_can_count_are_refused() -> None:
    content = read_frame(frame(*[GOOD] * (MAX_TRADES_PER_MESSAGE + 2)))
    assert len(content.trades["AAPL"]) == MAX_TRADES_PER_MESSAGE == 100_000
    reason = "the frame held more than 100000 trades of one symbol"
    assert content.refused == [(reason, GOOD_TEXT, 100_000), (reason, GOOD_TEXT, 100_001)]
