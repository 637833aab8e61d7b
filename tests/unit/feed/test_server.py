"""The feed service speaks Finnhub's protocol, and passes recordings on as they are."""

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from common.instruments import instruments
from feed.market import Market
from feed.server import MAX_SYMBOLS
from feed.simulation import Simulation
from feeds import LIMIT_SECONDS, running_feed

CLOSING = {"end": True}


def demo_market(backdated_ms: int = 0) -> Market:
    now = time.time_ns() // 1_000_000
    return Market(Simulation(instruments(), 1), now - backdated_ms, is_live=backdated_ms == 0)


def client(port: int, path: str = "/?token=t") -> ClientConnection:
    return connect(f"ws://127.0.0.1:{port}{path}", proxy=None, max_size=None)


def say(connection: ClientConnection, **message: Any) -> None:
    connection.send(json.dumps(message))


def hear(connection: ClientConnection) -> Any:
    return json.loads(connection.recv(LIMIT_SECONDS))


def until(
    connection: ClientConnection, kind: str, wanted: Callable[[Any], bool] = lambda message: True
) -> Any:
    """Return the first message of a kind that is wanted; fail when none came in time."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < deadline:
        message = hear(connection)
        if message["type"] == kind and wanted(message):
            return message
    raise AssertionError(f"no such message of type {kind} came within {LIMIT_SECONDS} s")


def get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=LIMIT_SECONDS) as answer:
        return json.load(answer)


def test_demo_trades_of_the_subscribed_symbols_come() -> None:
    started = time.time() * 1000
    with running_feed(demo_market()) as port, client(port) as connection:
        assert hear(connection) == {"type": "source", "source": "demo"}
        say(connection, type="subscribe", symbol="BINANCE:BTCUSDT")
        frame = until(connection, "trade")
        assert {trade["s"] for trade in frame["data"]} == {"BINANCE:BTCUSDT"}
        assert set(frame["data"][0]) <= set("cpstv")
        assert started - 5_000 < frame["data"][0]["t"] < time.time() * 1000 + 5_000
        say(connection, type="subscribe", symbol="NVDA")
        say(connection, type="unsubscribe", symbol="BINANCE:BTCUSDT")
        until(connection, "trade", lambda frame: {trade["s"] for trade in frame["data"]} == {"NVDA"})


def test_the_past_comes_first_and_without_waiting() -> None:
    with running_feed(demo_market(backdated_ms=3_600_000)) as port, client(port) as connection:
        started = time.time() * 1000
        say(connection, type="subscribe", symbol="BINANCE:BTCUSDT")
        first = until(connection, "trade")["data"]
        assert started - first[0]["t"] > 3_500_000
        until(connection, "trade", lambda frame: started - frame["data"][-1]["t"] <= 5_000)


def test_a_feed_without_a_market_says_nothing_but_pings() -> None:
    with running_feed(ping_seconds=0.05) as port, client(port) as connection:
        say(connection, type="subscribe", symbol="AAPL")
        assert [hear(connection) for _ in range(3)] == [{"type": "ping"}] * 3


def test_more_symbols_than_allowed_are_refused_without_a_name() -> None:
    symbols = list(instruments())
    with running_feed(demo_market(), ping_seconds=LIMIT_SECONDS) as port, client(port) as connection:
        for symbol in symbols[:MAX_SYMBOLS]:
            say(connection, type="subscribe", symbol=symbol)
        say(connection, type="subscribe", symbol=symbols[0])
        say(connection, type="subscribe", symbol=symbols[MAX_SYMBOLS])
        assert until(connection, "error") == {"type": "error", "msg": "Subscribing to too many symbols"}


def test_unknown_symbols_and_nonsense_are_answered_with_an_error() -> None:
    with running_feed(demo_market()) as port, client(port) as connection:
        say(connection, type="subscribe", symbol="NOSUCH")
        assert until(connection, "error")["msg"] == "Unknown symbol NOSUCH"
        for nonsense in ("hello", "[]", '{"type":"surprise"}', '{"type":"subscribe"}'):
            connection.send(nonsense)
            assert until(connection, "error")["msg"] == "Invalid message"


def test_a_second_connection_with_a_token_drops_both() -> None:
    with running_feed() as port, client(port) as first, client(port) as second:
        for connection in (first, second):
            with pytest.raises(ConnectionClosed, match="one connection per token"):
                connection.recv(LIMIT_SECONDS)
        with client(port) as third, client(port, "/?token=other") as other:
            for connection in (third, other):
                say(connection, type="surprise")
                assert hear(connection)["type"] == "error"


def test_without_a_token_or_from_a_web_page_nobody_is_connected() -> None:
    with running_feed() as port:
        with pytest.raises(InvalidStatus, match="401"):
            client(port, "/")
        with pytest.raises(InvalidStatus, match="403"):
            connect(f"ws://127.0.0.1:{port}/?token=t", proxy=None, origin="http://example.org")  # type: ignore[arg-type]


def test_health_and_search_answer_over_http() -> None:
    with running_feed(demo_market()) as port:
        assert get(port, "/health") == {"connected": False, "demo": True}
        assert get(port, "/api/v1/search?q=apple")["result"][0]["symbol"] == "AAPL"
        assert get(port, "/api/v1/search?q=BINANCE:BTCUSDT")["result"][0]["symbol"] == "BINANCE:BTCUSDT"
        assert get(port, "/api/v1/search?q=nosuch") == {"count": 0, "result": []}
        with client(port):
            assert get(port, "/health") == {"connected": True, "demo": True}


class Collector:
    """A client that behaves as the collector does, and remembers what it was sent."""

    def __init__(self, port: int) -> None:
        self.frames: dict[str, list[str]] = {}
        self._stack = ExitStack()
        self.connection = self._stack.enter_context(client(port))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        current = "demo"
        try:
            for message in self.connection:
                text = str(message)
                if not text.startswith('{"type":"source"'):
                    self.frames.setdefault(current, []).append(text)
                    continue
                control = json.loads(text)
                current = control.get("run", "demo")
                if control.get("end"):
                    say(self.connection, type="closed", run=current)
                elif current != "demo" and current not in self.frames:
                    self.frames[current] = []
                    say(self.connection, type="journal", run=current, journal=f"journal of {current}")
        except ConnectionClosed:
            pass

    def close(self) -> None:
        self._stack.close()
        self._thread.join()


@pytest.fixture
def demo_port() -> Iterator[int]:
    with running_feed(demo_market()) as port:
        yield port


def replay(port: int, run: str, chunks: list[list[str]]) -> list[Any]:
    """Play chunks and return the answers."""
    with client(port, "/replay") as connection:
        say(connection, run=run)
        for chunk in chunks:
            connection.send(json.dumps(chunk))
        say(connection, **CLOSING)
        return [json.loads(message) for message in connection]


def test_recordings_are_passed_on_as_they_are_between_demo_trades(demo_port: int) -> None:
    collector = Collector(demo_port)
    say(collector.connection, type="subscribe", symbol="BINANCE:BTCUSDT")
    texts = [f'{{ "type":"trade", "data":[], "n":{number} }}' for number in range(3000)]
    texts += ["", "nonsense", "ünïcode \u0000", "x" * 2_000_000]
    chunks = [texts[at : at + 100] for at in range(0, len(texts), 100)]
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(replay, demo_port, run, chunks) for run in ("a", "b")]
        for run, answer in zip("ab", answers, strict=True):
            assert answer.result(LIMIT_SECONDS) == [
                {"type": "journal", "run": run, "journal": f"journal of {run}"},
                {"type": "done", "frames": len(texts)},
            ]
    collector.close()
    assert collector.frames["a"] == collector.frames["b"] == texts


def test_a_recorded_control_frame_controls_nothing(demo_port: int) -> None:
    collector = Collector(demo_port)
    trick = '{"type":"source","source":"demo"}'
    answers = replay(demo_port, "a", [[trick, "x"]])
    collector.close()
    assert answers[-1] == {"type": "done", "frames": 2}
    assert [text.strip() for text in collector.frames["a"]] == [trick, "x"]


def test_a_replay_without_a_collector_is_told_so() -> None:
    with running_feed(collector_seconds=0.05) as port:
        [answer] = replay(port, "a", [["x"]])
    assert answer["type"] == "error"
    assert "No collector was connected" in answer["msg"]


def test_a_replay_waits_for_the_collector() -> None:
    with running_feed() as port, ThreadPoolExecutor(1) as pool:
        answers = pool.submit(replay, port, "a", [["x"]])
        collector = Collector(port)
        assert answers.result(LIMIT_SECONDS)[-1] == {"type": "done", "frames": 1}
        collector.close()


def test_a_replay_whose_collector_goes_is_told_so() -> None:
    with running_feed() as port:
        collector = Collector(port)
        with client(port, "/replay") as connection:
            say(connection, run="a")
            connection.send('["x"]')
            assert hear(connection)["type"] == "journal"
            collector.close()
            with suppress(ConnectionClosed):  # the feed may have ended the replay already
                connection.send('["y"]')
                say(connection, **CLOSING)
            answer = hear(connection)
    assert answer["type"] == "error"
    assert "collector was disconnected" in answer["msg"]


def test_a_replay_whose_client_goes_is_ended(demo_port: int) -> None:
    collector = Collector(demo_port)
    with client(demo_port, "/replay") as connection:
        say(connection, run="a")
        connection.send('["x"]')
        assert hear(connection)["type"] == "journal"
    assert replay(demo_port, "b", [["y"]])[-1]["type"] == "done"
    collector.close()
    assert (collector.frames["a"], collector.frames["b"]) == (["x"], ["y"])


@pytest.mark.parametrize("first", ["hello", "[]", "{}"])
def test_what_is_not_a_replay_is_closed(demo_port: int, first: str) -> None:
    with client(demo_port, "/replay") as connection:
        connection.send(first)
        with pytest.raises(ConnectionClosed, match="not the protocol"):
            connection.recv(LIMIT_SECONDS)
