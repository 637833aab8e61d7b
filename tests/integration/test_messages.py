"""From Kafka's messages to rows by a local Spark: trades, feed events, and what is refused."""

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import pytest
from pyspark.sql import DataFrame, Row, SparkSession

from common.identity import trade_id
from common.limits import MAX_DEAD_LETTER_BYTES
from common.schemas import events_schema, read_schema, trades_schema, trades_schemas
from stream_processor.messages import (
    EVENT_COLUMNS,
    MAX_REQUEST_BYTES,
    TRADE_COLUMNS,
    event_dead_letters,
    read_events,
    read_trades,
    stored_columns,
    trade_dead_letters,
)

EPOCH = datetime(1970, 1, 1)
JOURNAL = "20240808T120000123l"
RECEIVED_MS = 1_723_118_400_456
YEAR_2000_MS = 946_684_800_000
TIME_MS = 1_723_118_399_987
HEADERS = {
    "frame": f"{JOURNAL}:42",
    "received_ms": str(RECEIVED_MS),
    "schema": trades_schema().fingerprint,
}
KAFKA = (
    "key binary, value binary, topic string, partition int, offset bigint, "
    "headers array<struct<key: string, value: binary>>"
)
Message = tuple[bytes | None, Mapping[str, str]]


def naive(milliseconds: int) -> datetime:
    """Return what Spark collects for a time: UTC without a zone."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def trade(**changes: Any) -> dict[str, Any]:
    return {"c": ["1", "12"], "p": 10.5, "s": "AAPL", "t": TIME_MS, "v": 2.0} | changes


def avro(*trades: dict[str, Any]) -> bytes:
    value = io.BytesIO()
    fastavro.schemaless_writer(value, trades_schema().parsed, {"data": trades, "type": "trade"})
    return value.getvalue()


def messages(spark: SparkSession, *sent: Message) -> DataFrame:
    """Return messages as Spark's Kafka source gives them."""
    rows = [
        (b"AAPL", value, "market", 2, offset, [(name, text.encode()) for name, text in headers.items()])
        for offset, (value, headers) in enumerate(sent)
    ]
    return spark.createDataFrame(rows, KAFKA)


def collected(spark: SparkSession, *sent: Message) -> list[Row]:
    return read_trades(messages(spark, *sent), trades_schemas(), trades_schema()).collect()


def dead_letters(spark: SparkSession, *sent: Message) -> list[Row]:
    rows = read_trades(messages(spark, *sent), trades_schemas(), trades_schema())
    return trade_dead_letters(rows).collect()


def test_every_column_of_a_trade_follows_from_its_message(spark: SparkSession) -> None:
    value = avro(trade(), trade(c=None, p=7, v=0, t=YEAR_2000_MS), trade(c=["8", None]))
    found = read_trades(messages(spark, (value, HEADERS)), trades_schemas(), trades_schema())
    rows = found.select(*stored_columns(), "reason").collect()

    def row(index: int, milliseconds: int, *others: Any) -> tuple[Any, ...]:
        time = naive(milliseconds)
        hour = time.replace(minute=0, second=0, microsecond=0)
        ids = trade_id(JOURNAL, 42, index)
        return ("AAPL", hour, time, ids, *others, naive(RECEIVED_MS), "trade")

    assert [tuple(row[name] for name in TRADE_COLUMNS) for row in rows] == [
        row(0, TIME_MS, 10.5, 2.0, ["1", "12"]),
        row(1, YEAR_2000_MS, 7.0, 0.0, None),
        row(2, TIME_MS, 10.5, 2.0, ["8"]),
    ]
    assert [row.reason for row in rows] == [None] * 3


def test_a_frame_without_trades_gives_no_row(spark: SparkSession) -> None:
    assert collected(spark, (avro(), HEADERS)) == []


def test_a_refused_trade_does_not_move_its_neighbours_ids(spark: SparkSession) -> None:
    value = avro(trade(), trade(p=float("nan")), trade())
    rows = collected(spark, (value, HEADERS))
    assert [(row.trade_id, row.reason is None) for row in rows] == [
        (trade_id(JOURNAL, 42, 0), True),
        (trade_id(JOURNAL, 42, 1), False),
        (trade_id(JOURNAL, 42, 2), True),
    ]


BILLION = b"\x80\xa8\xd6\xb9\x07"  # as Avro writes a length; Java has no memory for so many
MANY_TRADES = BILLION
MANY_CONDITIONS = b"\x02\x00" + BILLION
LONG_SYMBOL = b"\x02\x02" + bytes(8) + BILLION
UNREADABLE = "the value could not be decoded as Avro"
NO_FRAME = "the header frame was missing or not <journal id>:<line>"
NO_RECEIPT = "the header received_ms was missing or no time in ms"
NO_SCHEMA = "the header schema was missing or named no known schema"


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in HEADERS.items() if key != name}


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ((b"\xff\x00 garbage", HEADERS), UNREADABLE),
        ((MANY_TRADES, HEADERS), UNREADABLE),
        ((MANY_CONDITIONS, HEADERS), UNREADABLE),
        ((LONG_SYMBOL, HEADERS), UNREADABLE),
        ((b"", HEADERS), UNREADABLE),
        ((None, HEADERS), UNREADABLE),
        ((avro(trade()), {}), NO_FRAME),
        ((avro(trade()), without("frame")), NO_FRAME),
        ((avro(trade()), HEADERS | {"frame": f"{JOURNAL}:0"}), NO_FRAME),
        ((avro(trade()), HEADERS | {"frame": f"{JOURNAL}:1:2"}), NO_FRAME),
        ((avro(trade()), HEADERS | {"frame": "20240808T120000123x:1"}), NO_FRAME),
        ((avro(trade()), without("received_ms")), NO_RECEIPT),
        *(
            ((avro(trade()), HEADERS | {"received_ms": ms}), NO_RECEIPT)
            for ms in ("now", "-5", "1700000000", str(2**62), str(2**64))
        ),
        ((avro(trade()), without("schema")), NO_SCHEMA),
        ((avro(trade()), HEADERS | {"schema": "0123456789abcdef"}), NO_SCHEMA),
    ],
)
def test_a_message_that_cannot_be_read_is_refused_whole(
    spark: SparkSession, message: Message, reason: str
) -> None:
    [row] = collected(spark, message)
    assert (row.reason, row.symbol, row.unreadable) == (reason, None, message[0])
    [letter] = dead_letters(spark, message)
    assert (letter.key, letter.value) == (None, message[0])
    headers = {header.key: header.value for header in letter.headers}
    assert headers["reason"] == reason.encode()
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"market", b"2", b"0")


@pytest.mark.parametrize(
    "changes",
    [
        {"t": RECEIVED_MS + 300_001},
        {"t": -1},
        {"t": 1_700_000_000},
        {"t": YEAR_2000_MS - 1},
        {"t": 2**62},
        {"p": float("nan")},
        {"p": float("inf")},
        {"v": float("nan")},
        {"v": float("-inf")},
        {"p": 0.0},
        {"p": -0.5},
        {"v": -0.5},
        {"s": ""},
        {"s": "S" * 65},
    ],
)
def test_an_impossible_trade_is_refused_alone(spark: SparkSession, changes: dict[str, Any]) -> None:
    rows = collected(spark, (avro(trade(**changes), trade()), HEADERS))
    assert [row.reason is None for row in rows] == [False, True]


def test_a_trade_within_five_minutes_of_its_receipt_is_taken(spark: SparkSession) -> None:
    [row] = collected(spark, (avro(trade(t=RECEIVED_MS + 300_000)), HEADERS))
    assert row.reason is None


def test_a_dead_letter_holds_the_trade_and_where_it_came_from(spark: SparkSession) -> None:
    [letter] = dead_letters(spark, (avro(trade()), HEADERS), (avro(trade(), trade(t=-1)), HEADERS))
    assert letter.key == b"AAPL"
    assert letter.value == b'{"c":["1","12"],"p":10.5,"s":"AAPL","t":-1,"v":2.0}'
    headers = {header.key: header.value.decode() for header in letter.headers}
    assert headers.pop("reason")
    assert headers == {
        "topic": "market",
        "partition": "2",
        "offset": "1",
        "frame": f"{JOURNAL}:42",
        "received_ms": str(RECEIVED_MS),
        "trades": "1",
        "trade_id": trade_id(JOURNAL, 42, 1),
    }


def test_what_is_too_long_for_a_dead_letter_is_cut(spark: SparkSession) -> None:
    long = "x" * (2 * MAX_DEAD_LETTER_BYTES)
    sent = [
        (long.encode(), HEADERS),
        (avro(trade(s=long)), HEADERS),
        (avro(trade()), HEADERS | {"frame": long}),
    ]
    letters = dead_letters(spark, *sent)
    reasons = [header.value.decode() for letter in letters for header in letter.headers[:1]]
    note = f" (cut to {MAX_DEAD_LETTER_BYTES} bytes)"
    assert reasons == [
        UNREADABLE + note,
        "the symbol was longer than 64 characters" + note,
        NO_FRAME,
    ]
    for letter in letters:
        parts = [letter.key, letter.value, *(header.value for header in letter.headers)]
        assert sum(len(part or b"") for part in parts) < MAX_REQUEST_BYTES - 10_000


SECOND_VERSION = json.dumps(
    json.loads(trades_schema().text)
    | {
        "fields": [
            {"name": "exchange", "type": ["null", "string"], "default": None},
            *trades_schema().parsed["fields"],
        ]
    }
)


def test_an_old_message_stays_readable_after_a_compatible_change(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "trades.avsc").write_text(SECOND_VERSION)
    old, new = trades_schema(), read_schema(tmp_path / "trades.avsc")
    assert old.fingerprint != new.fingerprint
    value = io.BytesIO()
    fastavro.schemaless_writer(
        value, new.parsed, {"exchange": "N", "data": [trade(s="NEW")], "type": "trade"}
    )
    sent = messages(
        spark,
        (avro(trade(s="OLD")), HEADERS),
        (value.getvalue(), HEADERS | {"schema": new.fingerprint}),
    )
    rows = read_trades(sent, {schema.fingerprint: schema for schema in (old, new)}, new).collect()
    assert [(row.symbol, row.price, row.trade_conditions, row.reason) for row in rows] == [
        ("OLD", 10.5, ["1", "12"], None),
        ("NEW", 10.5, ["1", "12"], None),
    ]


def event(**changes: Any) -> bytes:
    value = io.BytesIO()
    record = {"at": TIME_MS, "session": "s", "kind": "gap", "detail": "why", "gap_seconds": 1.5} | changes
    fastavro.schemaless_writer(value, events_schema().parsed, record)
    return value.getvalue()


def test_every_column_of_a_feed_event_follows_from_its_message(spark: SparkSession) -> None:
    rows = read_events(messages(spark, (event(), {}), (event(gap_seconds=None), {}))).collect()
    day, at = datetime.fromtimestamp(TIME_MS / 1000, UTC).date(), naive(TIME_MS)
    assert [tuple(row[name] for name in EVENT_COLUMNS) for row in rows] == [
        (day, at, "s", "gap", "why", 1.5),
        (day, at, "s", "gap", "why", None),
    ]
    assert [row.reason for row in rows] == [None, None]


def test_every_kind_of_feed_event_is_read(spark: SparkSession) -> None:
    [kinds] = [
        field["type"]["symbols"] for field in events_schema().parsed["fields"] if field["name"] == "kind"
    ]
    assert {"connected", "disconnected", "silent", "resubscribed", "refused", "gap"} <= set(kinds)
    rows = read_events(messages(spark, *((event(kind=kind), {}) for kind in kinds))).collect()
    assert [row.kind for row in rows] == kinds


def test_a_feed_event_that_cannot_be_read_becomes_a_dead_letter(spark: SparkSession) -> None:
    garbage = [b"\xff\xff garbage", None, event(at=2**62), b"\x02" + BILLION]
    sent: list[Message] = [(event(), {}), *((value, {}) for value in garbage)]
    letters = event_dead_letters(read_events(messages(spark, *sent))).collect()
    assert [letter.value for letter in letters] == garbage
    assert [{header.key: header.value for header in letter.headers} for letter in letters] == [
        {
            "reason": b"the feed event could not be decoded as Avro",
            "topic": b"market",
            "partition": b"2",
            "offset": str(offset).encode(),
            "trades": b"0",
        }
        for offset in (1, 2, 3, 4)
    ]


def test_a_feed_event_whose_session_is_too_long_for_a_key_becomes_a_dead_letter(spark: SparkSession) -> None:
    sent: list[Message] = [(event(session="s" * 257), {}), (event(session="s" * 256), {})]
    rows = read_events(messages(spark, *sent)).collect()
    assert [row.reason for row in rows] == ["the feed event's session was longer than 256 characters", None]
