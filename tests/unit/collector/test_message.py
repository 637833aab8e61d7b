"""From a journal's line to Kafka's messages."""

import io
import json

import fastavro

from collector.message import MAX_DEAD_LETTER_BYTES, Event, encode_event, messages, oversized
from common.recording import Frame, encode
from common.schemas import events_schema, trades_schema

JOURNAL = "20260115T145700000d"


def trade(symbol: str, price: float) -> dict[str, object]:
    return {"c": None, "p": price, "s": symbol, "t": 1_768_489_020_000, "v": 1}


def line(*trades: object, received_ms: int = 1_768_489_020_123) -> bytes:
    return encode(Frame(received_ms, json.dumps({"data": trades, "type": "trade"})))


def test_a_frame_becomes_one_message_a_symbol() -> None:
    found = messages(JOURNAL, 7, line(trade("A", 1.5), trade("B", 2), trade("A", 1.25)))
    assert [(message.key, message.trades, message.dead) for message in found] == [
        (b"A", 2, False),
        (b"B", 1, False),
    ]
    decoded = fastavro.schemaless_reader(io.BytesIO(found[0].value), trades_schema().parsed, None)
    assert decoded == {"data": [trade("A", 1.5), trade("A", 1.25)], "type": "trade"}
    assert dict(found[0].headers) == {
        "frame": b"20260115T145700000d:7",
        "received_ms": b"1768489020123",
        "schema": trades_schema().fingerprint.encode(),
    }


def test_a_refused_trade_becomes_a_dead_letter_with_its_place() -> None:
    good, bad = trade("A", 1.5), trade("A", 1.5) | {"p": None}
    kept, dead = messages(JOURNAL, 1, line(good, bad))
    assert (kept.trades, kept.dead) == (1, False)
    assert (dead.trades, dead.dead, json.loads(dead.value)) == (1, True, bad)
    assert dict(dead.headers) == {
        "reason": b"p was missing or not a finite number",
        "frame": b"20260115T145700000d:1",
        "received_ms": b"1768489020123",
        "trades": b"1",
        "position": b"1",
    }


def test_a_damaged_line_of_the_journal_becomes_a_dead_letter() -> None:
    [dead] = messages(JOURNAL, 3, b'{"received_ms":1,\xff\n')
    assert dead.dead
    assert dict(dead.headers)["frame"] == b"20260115T145700000d:3"
    assert dict(dead.headers)["reason"] == b"the journal's line was damaged"


def test_pings_and_news_become_no_message() -> None:
    assert messages(JOURNAL, 1, encode(Frame(1, '{"type":"ping"}'))) == []
    assert messages(JOURNAL, 1, encode(Frame(1, '{"type":"news","data":[{}]}'))) == []


def test_a_huge_frame_is_cut_in_dead_letters_and_says_so() -> None:
    [dead] = messages(JOURNAL, 1, encode(Frame(1, "x" * (MAX_DEAD_LETTER_BYTES + 1))))
    assert len(dead.value) == MAX_DEAD_LETTER_BYTES
    assert b"the journal holds the frame" in dict(dead.headers)["reason"]


def test_a_message_that_is_too_large_stands_for_its_trades_in_dead_letters() -> None:
    [whole] = messages(JOURNAL, 1, line(trade("A", 1), trade("A", 2)))
    dead = oversized(whole)
    assert (dead.dead, dead.trades, dict(dead.headers)["trades"]) == (True, 2, b"2")
    assert dict(dead.headers)["frame"] == dict(whole.headers)["frame"]


def test_an_event_reads_back_from_avro() -> None:
    event = Event(5, "feed-4", "gap", "nothing was received", 1.25)
    decoded = fastavro.schemaless_reader(io.BytesIO(encode_event(event)), events_schema().parsed, None)
    assert decoded == event._asdict()
