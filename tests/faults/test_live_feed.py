"""A live feed that drops, stalls, refuses, repeats and sends what nobody can use, into the real stack."""

import io
import json
import time
from collections import Counter
from contextlib import suppress
from http import HTTPStatus
from itertools import count
from pathlib import Path
from typing import Any, Literal

import fastavro
import pytest
from websockets.sync.server import ServerConnection

from collector.journal import journal_ids
from collector_process import TOKEN, collector
from common.schemas import trades_schema
from feeds import Refusal, Script, scripted_server
from stack import Stack, wait_until
from topics import all_journaled, read_topic

pytestmark = pytest.mark.timeout(600)

SYMBOLS = ("FAULTY:A", "FAULTY:B")
LIMIT_SECONDS = 60
PING_SECONDS = 0.5  # a quarter of the silence that the collector is told to bear


class Prices:
    """Frames whose prices count up, so that their order can be told from the prices."""

    def __init__(self) -> None:
        self._numbers = count(1)

    def frame(self, *symbols: str) -> str:
        now = time.time_ns() // 1_000_000
        trades = [{"c": None, "p": next(self._numbers), "s": symbol, "t": now, "v": 1} for symbol in symbols]
        return json.dumps({"data": trades, "type": "trade"})


def send(*frames: str | bytes, then: Literal["close", "stall", "ping"]) -> Script:
    """Return a script that waits for the subscriptions, sends the frames, and does what `then` says."""

    def script(connection: ServerConnection) -> None:
        for _ in SYMBOLS:
            connection.recv(LIMIT_SECONDS)
        for frame in frames:
            connection.send(frame)
        while then != "close":
            with suppress(TimeoutError):
                connection.recv(PING_SECONDS)
            if then == "ping":
                connection.send('{"type":"ping"}')

    return script


def of_journals(journals: set[str], messages: list[Any]) -> list[Any]:
    return [
        message
        for message in messages
        if dict(message.headers() or []).get("frame", b"").decode().partition(":")[0] in journals
    ]


def test_what_a_bad_feed_sends_is_in_the_tables_once_and_its_faults_are_told(
    stack: Stack, tmp_path: Path
) -> None:
    prices = Prices()
    first = prices.frame(*SYMBOLS), prices.frame(SYMBOLS[0])
    repeated = prices.frame(*SYMBOLS)
    large = json.dumps({"type": "trade", "data": ["x" * 9 * 1024**2]})
    too_many = json.dumps({"type": "error", "msg": f"Subscribing to too many symbols {TOKEN}"})
    scripts = (
        send(*first, then="close"),
        Refusal(HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": "1"}),
        send(
            repeated, repeated, large, too_many, too_many, b"\xff\xfe", prices.frame(*SYMBOLS), then="stall"
        ),
        Refusal(HTTPStatus.BAD_GATEWAY),
        send(prices.frame(*SYMBOLS), then="ping"),
    )
    expected = 2 + 1 + 2 * 2 + 2 + 2
    with (
        scripted_server(*scripts) as port,
        collector(
            tmp_path / "home",
            port,
            FINNHUB_STOCKS_TICKERS=",".join(SYMBOLS),
            FINNHUB_SILENCE_SECONDS="2",
            KAFKA_TOPIC_NAME=stack.topic,
            KAFKA_PORT=stack.settings["KAFKA_PORT"],
            KAFKA_COLLECTOR_PASSWORD=stack.secrets()["KAFKA_COLLECTOR_PASSWORD"],
        ) as running,
    ):
        wait_until(lambda: running.received() >= expected, "every trade received", LIMIT_SECONDS)
        folder = running.home / "journal"
        journals = set(journal_ids(folder))

        def missing() -> Counter[tuple[str, str]]:
            on_topic = of_journals(journals, read_topic(stack, stack.topic))
            names = Counter(
                (dict(message.headers())["frame"].decode(), message.key().decode()) for message in on_topic
            )
            return Counter(dict.fromkeys(all_journaled(folder), 1)) - names

        wait_until(lambda: not missing(), "every journaled frame on the topic", LIMIT_SECONDS)
    assert TOKEN not in running.said()
    assert "Traceback" not in running.said()

    sent: dict[str, list[float]] = {symbol: [] for symbol in SYMBOLS}
    for message in of_journals(journals, read_topic(stack, stack.topic)):
        value = fastavro.schemaless_reader(io.BytesIO(message.value()), trades_schema().parsed, None)
        sent[message.key().decode()] += [trade["p"] for trade in value["data"]]
    assert all(published == sorted(published) for published in sent.values()), sent
    assert sum(map(len, sent.values())) == expected

    session = stack.cassandra()

    def rows() -> dict[str, list[float]]:
        partitions = session.execute("SELECT DISTINCT symbol, hour FROM trades").all()
        return {
            symbol: [
                row.price
                for partition in sorted(partitions, key=lambda partition: partition.hour)
                if partition.symbol == symbol
                for row in sorted(
                    session.execute(
                        "SELECT price, trade_id FROM trades WHERE symbol = %s AND hour = %s", partition
                    ),
                    key=lambda row: row.trade_id,
                )
            ]
            for symbol in SYMBOLS
        }

    wait_until(lambda: sum(map(len, rows().values())) >= expected, "the trades in Cassandra", 120)
    assert rows() == sent
    kinds = Counter(
        row.kind
        for day in {row.day for row in session.execute("SELECT DISTINCT day FROM feed_events")}
        for row in session.execute("SELECT kind, detail FROM feed_events WHERE day = %s", (day,))
        if row.detail.startswith("finnhub:")
    )
    session.cluster.shutdown()
    assert {"connected", "disconnected", "resubscribed", "gap", "silent", "refused", "oversized"} <= set(
        kinds
    )
    assert kinds["oversized"] == 1
    assert kinds["refused"] == 2  # the feed's error and the refused handshake, each told once
