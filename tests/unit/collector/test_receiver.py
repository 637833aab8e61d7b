"""The receiver against real websocket servers: what it journals, and what it says of gaps."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from websockets.sync.server import ServerConnection

from collector import market_hours
from collector.clock import Clock
from collector.connection import Connection
from collector.encoding import Event
from collector.journal import JournalFolder, JournalLimits, journal_ids, read_lines
from collector.last_seen import LastSeen
from collector.receiver import Endpoint, Receiver
from common.identity import journal_source
from common.recording import decode, frame_text
from feeds import LIMIT_SECONDS, Refusal, answering, scripted_server
from stack import wait_until

TOKEN = "secret0token"
LIMITS = JournalLimits(10**6, 3600, 86_400, 10**9)
TICKERS = ("AAPL", "BINANCE:BTCUSDT")
TWIN = '{"c":null,"p":1.5,"s":"AAPL","t":1,"v":1}'
TRADE = f'{{"data":[{TWIN},{TWIN}],"type":"trade"}}'
PING = '{"type":"ping"}'


@dataclass
class Times:
    """Both clocks, which stand still until a test moves them."""

    wall: float = 1_700_000_000.0
    steady: float = 5000.0

    def clock(self) -> Clock:
        return Clock(lambda: self.wall, lambda: self.steady)

    def move(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


class Events(list[Event]):
    """Takes the events as the publisher does."""

    def wake(self) -> None:
        """Have no journals to look at."""

    def publish_event(self, event: Event) -> None:
        self.append(event)

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self]

    def told(self) -> list[tuple[str, str, float | None]]:
        return [(event.kind, event.detail, event.gap_seconds) for event in self]


class Pauses(list[float]):
    """Records the pauses between attempts and takes no time; the `limit`-th lasts to the end of the test."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self.ended = threading.Event()

    def __call__(self, seconds: float) -> None:
        self.append(seconds)
        if len(self) >= self._limit:
            self.ended.wait(LIMIT_SECONDS)


@dataclass
class Received:
    """A running receiver and what came of it."""

    receiver: Receiver
    folder: Path
    events: Events
    last_seen: LastSeen

    def frames(self, source: str | None = None) -> list[str]:
        return [
            decode(line).text
            for journal in journal_ids(self.folder)
            if source in (None, journal_source(journal))
            for line in read_lines(self.folder, journal)
        ]

    def until_frames(self, count: int) -> list[str]:
        until(lambda: len(self.frames()) >= count, f"{count} frames in the journal")
        return self.frames()

    def until_told(self, *kinds: str) -> None:
        until(lambda: set(kinds) <= set(self.events.kinds), f"events {kinds}")


@contextmanager
def receiving(
    folder: Path,
    port: int,
    service: bool = False,
    tickers: tuple[str, ...] = TICKERS,
    times: Times | None = None,
    pauses: Pauses | None = None,
) -> Iterator[Received]:
    """Run a receiver of live trades, or of a feed service; without `times` by the real clocks."""
    endpoint = Endpoint(
        "feed" if service else "finnhub",
        f"ws://127.0.0.1:{port}/",
        SecretStr(TOKEN),
        tickers,
        source=None if service else "live",
        market="demo" if service else "live",
        first_delay=1.0 if pauses is not None else 0.01,
        longest_delay=60.0 if pauses is not None else 0.1,
    )
    clock = times.clock() if times else Clock()
    journals = JournalFolder(folder, LIMITS)
    events = Events()
    last_seen = LastSeen(folder / "last-seen.json", clock, "boot")
    receiver = Receiver(
        endpoint,
        journals,
        events,
        last_seen,
        clock=clock,
        wait=pauses,
        uniform=lambda _, high: high,
        connect=lambda: Connection(connect_seconds=LIMIT_SECONDS, tick_seconds=0.01),
    )
    receiver.start()
    try:
        yield Received(receiver, folder, events, last_seen)
    finally:
        receiver.stop()
        if pauses is not None:
            pauses.ended.set()
        receiver.join(LIMIT_SECONDS)
        assert not receiver.is_alive()
        last_seen.save()
        journals.close()


def until(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, what, LIMIT_SECONDS, every=0.005)


def sends(
    *frames: str, stay: bool = True, heard: list[str] | None = None
) -> Callable[[ServerConnection], None]:
    """Return a script that takes the subscriptions, sends frames, closes or stays until the client goes."""

    def script(connection: ServerConnection) -> None:
        for _ in TICKERS:
            message = connection.recv(LIMIT_SECONDS)
            if heard is not None:
                heard.append(str(message))
        for frame in frames:
            connection.send(frame)
        if stay:
            for message in connection:
                if heard is not None:
                    heard.append(str(message))

    return script


def stay(connection: ServerConnection) -> None:
    """Keep the connection until the client goes."""
    for _ in connection:
        continue


def test_frames_are_journaled_as_they_came_and_pings_only_counted(tmp_path: Path) -> None:
    texts = [TRADE, '{"type":"news","data":[]}', "nonsense", '{ "type": "trade", "data": [] }', "ünïcode"]
    heard: list[str] = []
    with scripted_server(sends(PING, *texts, heard=heard)) as port, receiving(tmp_path, port) as received:
        assert received.until_frames(len(texts)) == texts
        counters = received.receiver.counters
        assert (counters.frames, counters.trades, counters.pings) == (5, 2, 1)
        assert received.receiver.connected
        assert received.receiver.problem is None
    assert [json.loads(message) for message in heard] == [
        {"type": "subscribe", "symbol": ticker} for ticker in TICKERS
    ]
    assert received.events.told() == [("connected", "finnhub: subscribed to 2 tickers.", None)]


def test_the_hours_of_the_markets_are_loaded_before_anything_can_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(market_hours, "_schedule", lambda calendar, *_: loaded.append(calendar) or [])
    at_connection: list[str] = []

    def script(connection: ServerConnection) -> None:
        at_connection.extend(loaded)
        stay(connection)

    with scripted_server(script) as port, receiving(tmp_path, port) as received:
        received.until_told("connected")
        until(lambda: received.receiver.activity.symbols, "subscriptions")
    assert at_connection == ["XNYS"]


def test_frames_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    bad = b'{"type":"trade","data":\xff}'

    def script(connection: ServerConnection) -> None:
        connection.send(bad)
        connection.send(TRADE)
        for _ in range(3):
            connection.recv(LIMIT_SECONDS)

    with scripted_server(script) as port, receiving(tmp_path, port) as received:
        assert received.until_frames(2) == [frame_text(bad), TRADE]


@pytest.mark.parametrize(
    "frame",
    [
        '{"type":"error","msg":' + "[" * 1000 + "]" * 1000 + "}",
        '{"type":"error","msg":{"a":1}}',
        '{"type":"error"}',
        '{"type":["error"],"msg":1}',
        '{"type":"trade","data":[{"s":["AAPL"]},3,null,{"s":null},{}]}',
        '{"type":"trade","data":[{"s":1}]}',
        '{"type":"trade","data":"AAPL"}',
        '{"type":"trade","data":' + "[" * 5000 + "]" * 5000 + "}",
        '{"type":"trade","data":[{"s":"AAPL","p":NaN}]}',
        '{"type":"trade","data":[{"s":"\\ud800","p":1e999}]}',
        '{"type":"source","source":"demo"}',
        "[]",
        "",
        "\x00",
    ],
)
def test_no_frame_ends_the_receiver_or_keeps_the_next_from_the_journal(tmp_path: Path, frame: str) -> None:
    with scripted_server(sends(frame, TRADE)) as port, receiving(tmp_path, port) as received:
        assert received.until_frames(2) == [frame, TRADE]
        assert received.receiver.connections == 1


@settings(max_examples=30)
@given(st.lists(st.binary(max_size=400) | st.text(max_size=100), max_size=8))
def test_whatever_a_feed_sends_the_next_trade_is_journaled(
    tmp_path_factory: pytest.TempPathFactory, frames: list[bytes | str]
) -> None:
    def script(connection: ServerConnection) -> None:
        for frame in frames:
            connection.send(frame)
        connection.send(TRADE)
        for _ in range(3):
            connection.recv(LIMIT_SECONDS)

    folder = tmp_path_factory.mktemp("journal")
    with scripted_server(script) as port, receiving(folder, port) as received:
        until(lambda: received.frames()[-1:] == [TRADE], "the trade")
        assert received.receiver.connections == 1


@settings(max_examples=30)
@given(st.binary(min_size=1, max_size=300))
def test_whatever_bytes_a_server_sends_the_receiver_goes_on(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    def garbage(connection: ServerConnection) -> None:
        with suppress(OSError):  # the receiver may have left at the first byte
            connection.socket.sendall(data)
            connection.socket.shutdown(socket.SHUT_WR)

    folder = tmp_path_factory.mktemp("journal")
    with scripted_server(garbage, sends(TRADE)) as port, receiving(folder, port) as received:
        until(lambda: TRADE in received.frames(), "the trade")
        assert received.receiver.is_alive()


def test_a_frame_over_8_mib_is_dropped_and_told_once_and_its_neighbours_stay(tmp_path: Path) -> None:
    large = '{"type":"trade","x":"' + "x" * 8 * 1024**2 + '"}'
    with (
        scripted_server(sends(TRADE, large, large, PING, TRADE)) as port,
        receiving(tmp_path, port) as received,
    ):
        assert received.until_frames(2) == [TRADE, TRADE]
        assert received.receiver.counters.oversized == 2
        assert received.receiver.connections == 1
    assert received.events.told()[1:] == [
        (
            "oversized",
            f"finnhub: a frame of {len(large)} bytes was dropped: at most 8388608 are taken.",
            None,
        )
    ]


def test_a_frame_of_a_tebibyte_is_not_waited_for(tmp_path: Path) -> None:
    def script(connection: ServerConnection) -> None:
        for _ in TICKERS:
            connection.recv(LIMIT_SECONDS)
        connection.send(TRADE)
        connection.socket.sendall(b"\x81\x7f" + (2**40).to_bytes(8, "big") + bytes(10**6))
        connection.recv(LIMIT_SECONDS)

    with scripted_server(script, sends(TRADE)) as port, receiving(tmp_path, port) as received:
        received.until_frames(2)
    assert received.events.kinds == ["connected", "oversized", "disconnected", "resubscribed", "gap"]
    assert received.events[2].detail == "finnhub: a frame of 1099511627776 bytes was not waited for."


def test_a_lost_connection_is_made_again_and_the_gap_measured(tmp_path: Path) -> None:
    times = Times()
    pauses = Pauses(2)

    step = threading.Event()

    def lose(connection: ServerConnection) -> None:
        sends(TRADE, stay=False)(connection)
        step.wait(LIMIT_SECONDS)

    with (
        scripted_server(lose, sends(TRADE)) as port,
        receiving(tmp_path, port, times=times, pauses=pauses) as received,
    ):
        received.until_frames(1)
        times.move(7.5)
        step.set()
        received.until_frames(2)
    assert received.events.told() == [
        ("connected", "finnhub: subscribed to 2 tickers.", None),
        ("disconnected", "finnhub: the server closed the connection (1000).", None),
        ("resubscribed", "finnhub: subscribed to 2 tickers.", None),
        ("gap", "finnhub: nothing was received for 7.5 s.", 7.5),
    ]
    assert pauses == [1.0]
    sessions = [event.session for event in received.events]
    assert sessions == ["finnhub-1700000000000"] * 2 + ["finnhub-1700000007500"] * 2
    at = [event.at for event in received.events]
    assert at == sorted(set(at))
    assert at[0] == 1_700_000_000_000


@pytest.mark.parametrize("step", [0.0, -600.0, 86_400.0])
def test_the_gap_since_the_last_process_is_told_whatever_the_clock_did(tmp_path: Path, step: float) -> None:
    times = Times()
    with scripted_server(sends(PING)) as port:
        with receiving(tmp_path, port, times=times) as received:
            until(lambda: received.receiver.counters.pings == 1, "a ping")
        assert received.events.kinds == ["connected"]
        times.move(90)
        times.wall += step
        with receiving(tmp_path, port, times=times) as received:
            received.until_told("gap")
    assert received.events.told() == [
        ("connected", "finnhub: subscribed to 2 tickers.", None),
        ("gap", "finnhub: nothing was received for 90.0 s.", 90.0),
    ]


def test_a_gap_while_all_markets_were_closed_is_none_and_else_only_their_open_time(tmp_path: Path) -> None:
    friday = datetime(2024, 7, 5, 20, 0, tzinfo=UTC).timestamp()
    times = Times(wall=friday)
    with scripted_server(sends(PING)) as port:
        for weekday_seconds in (0.0, 600.0):
            with receiving(tmp_path, port, tickers=("AAPL", "MSFT"), times=times) as received:
                until(lambda: received.receiver.counters.pings == 1, "a ping")
            assert "gap" not in received.events.kinds
            times.move(datetime(2024, 7, 8, 13, 30, tzinfo=UTC).timestamp() + weekday_seconds - times.wall)
        with receiving(tmp_path, port, tickers=("AAPL", "MSFT"), times=times) as received:
            received.until_told("gap")
    assert received.events[-1].detail.endswith("received for 600.0 s.")
    assert received.events[-1].gap_seconds == received.receiver.gap_seconds == 600.0


def test_a_clock_that_was_set_back_over_a_restart_of_the_machine_is_told(tmp_path: Path) -> None:
    seen = {"live": {"wall": 1_700_000_500.0, "boot": "another", "steady": 1.0}}
    (tmp_path / "last-seen.json").write_text(json.dumps(seen))
    with scripted_server(sends()) as port, receiving(tmp_path, port, times=Times()) as received:
        received.until_told("gap")
    detail = "finnhub: nothing was received for an unknown time: the clock was set back."
    assert received.events.told()[-1] == ("gap", detail, None)


def test_a_silent_stall_is_noticed_told_and_ended(tmp_path: Path) -> None:
    times = Times()
    with (
        scripted_server(sends(TRADE), sends(TRADE)) as port,
        receiving(tmp_path, port, times=times) as received,
    ):
        received.until_frames(1)
        times.move(149.9)
        received.last_seen.save()
        times.move(0.1)
        received.until_frames(2)
    assert received.events.told() == [
        ("connected", "finnhub: subscribed to 2 tickers.", None),
        ("silent", "finnhub: no frame came for 150 s.", None),
        ("disconnected", "finnhub: no frame came for 150 s.", None),
        ("resubscribed", "finnhub: subscribed to 2 tickers.", None),
        ("gap", "finnhub: nothing was received for 150.0 s.", 150.0),
    ]


@pytest.mark.parametrize("sign", ["websocket ping", "bytes of a frame"])
def test_what_is_no_whole_frame_is_silence(tmp_path: Path, sign: str) -> None:
    times = Times()
    connected = threading.Event()

    def drip(connection: ServerConnection) -> None:
        for _ in TICKERS:
            connection.recv(LIMIT_SECONDS)
        connected.wait(LIMIT_SECONDS)
        if sign == "bytes of a frame":
            connection.socket.sendall(b"\x81\x7e\x10\x00")
        for _ in range(15):
            if sign == "bytes of a frame":
                connection.socket.sendall(b"x")
            else:
                assert connection.ping().wait(LIMIT_SECONDS)
            times.move(10)
        connection.recv(LIMIT_SECONDS)

    with scripted_server(drip, sends(TRADE)) as port, receiving(tmp_path, port, times=times) as received:
        # The last thing that it does with the clock before it receives.
        until(lambda: received.last_seen.seconds_since("live") == 0, "the note of the connection")
        connected.set()
        received.until_frames(1)
    assert received.events.kinds == ["connected", "silent", "disconnected", "resubscribed", "gap"]


def test_pings_of_the_feed_are_a_sign_of_life(tmp_path: Path) -> None:
    times = Times()
    seen = threading.Semaphore(0)

    def script(connection: ServerConnection) -> None:
        for _ in range(10):
            connection.send(PING)
            seen.acquire(timeout=LIMIT_SECONDS)
        sends(TRADE)(connection)

    with scripted_server(script) as port, receiving(tmp_path, port, times=times) as received:
        for count in range(1, 11):
            until(lambda n=count: received.receiver.counters.pings == n, "a ping")
            times.move(140)
            seen.release()
        received.until_frames(1)
    assert received.events.kinds == ["connected"]


def test_repeated_frames_are_stored_and_counted(tmp_path: Path) -> None:
    other = TRADE.replace("1.5", "1.6")
    with scripted_server(sends(TRADE, other, TRADE, TRADE)) as port, receiving(tmp_path, port) as received:
        assert received.until_frames(4) == [TRADE, other, TRADE, TRADE]
        assert received.receiver.counters.repeated == 2


def test_errors_are_told_once_with_their_count(tmp_path: Path) -> None:
    times = Times()
    error = '{"type":"error","msg":"no\\nthanks"}'
    step = threading.Semaphore(0)

    def script(connection: ServerConnection) -> None:
        sends(*[error] * 5, stay=False)(connection)
        for _ in range(6):
            step.acquire(timeout=LIMIT_SECONDS)
            connection.send(PING)
        connection.recv(LIMIT_SECONDS)

    with scripted_server(script) as port, receiving(tmp_path, port, times=times) as received:
        received.until_frames(5)
        for number in range(1, 7):
            times.move(100)
            step.release()
            until(lambda n=number: received.receiver.counters.pings == n, "it")
        until(lambda: len(received.events) == 3, "the count")
    assert received.events.told()[1:] == [
        ("refused", "finnhub: no thanks.", None),
        ("refused", "finnhub: no thanks (repeated 4 times).", None),
    ]


def test_after_too_many_symbols_the_mute_ones_are_named(tmp_path: Path) -> None:
    times = Times()
    error = '{"type":"error","msg":"Subscribing to too many symbols"}'
    step = threading.Event()

    def script(connection: ServerConnection) -> None:
        sends(error, TRADE, stay=False)(connection)
        for _ in range(3):
            step.wait(LIMIT_SECONDS)
            step.clear()
            connection.send(PING)
        stay(connection)

    tickers = ("BINANCE:BTCUSDT", "BINANCE:ETHUSDT", "BINANCE:XRPUSDT")
    with scripted_server(script) as port, receiving(tmp_path, port, tickers=tickers, times=times) as received:
        received.until_frames(2)
        for seconds in (140, 140, 20):
            pings = received.receiver.counters.pings
            times.move(seconds)
            step.set()
            until(lambda n=pings: received.receiver.counters.pings > n, "a ping")
        received.until_told("muted")
    assert received.events.told()[1:] == [
        ("refused", "finnhub: Subscribing to too many symbols.", None),
        (
            "muted",
            "finnhub: 3 of 3 tickers never traded since the feed said that they were too many: "
            "BINANCE:BTCUSDT, BINANCE:ETHUSDT, BINANCE:XRPUSDT.",
            None,
        ),
    ]


def test_a_symbol_that_falls_silent_in_an_open_market_is_told_and_its_return(tmp_path: Path) -> None:
    times = Times()
    step = threading.Semaphore(0)
    trade = '{"data":[{"p":1,"s":"BINANCE:BTCUSDT","t":1,"v":1}],"type":"trade"}'

    def script(connection: ServerConnection) -> None:
        for frame in (trade, trade, PING, PING, PING, trade):
            connection.send(frame)
            step.acquire(timeout=LIMIT_SECONDS)
        stay(connection)

    tickers = ("BINANCE:BTCUSDT",)
    with scripted_server(script) as port, receiving(tmp_path, port, tickers=tickers, times=times) as received:
        counters = received.receiver.counters
        for number, seconds in enumerate((10, 100, 100, 100, 50), start=1):
            until(lambda n=number: counters.frames + counters.pings == n, "a frame")
            times.move(seconds)
            step.release()
        until(lambda: counters.frames + counters.pings == 6, "the last trade")
        times.move(1)  # it may have come after what is done once in this second
        received.until_told("resumed")
        step.release()
    assert received.events.told()[1:] == [
        ("stale", "finnhub: BINANCE:BTCUSDT had no trade for 300 s, unlike in the hour before.", None),
        ("resumed", "finnhub: BINANCE:BTCUSDT trades again after 350 s.", None),
    ]


def test_tickers_change_without_a_new_connection(tmp_path: Path) -> None:
    times = Times()
    heard: list[str] = []
    with (
        scripted_server(sends(TRADE, heard=heard)) as port,
        receiving(tmp_path, port, times=times) as received,
    ):
        received.until_frames(1)
        received.receiver.set_tickers(("MSFT", "BINANCE:BTCUSDT"))
        times.move(1)
        until(lambda: len(heard) == 4, "two messages")
        received.until_told("resubscribed")
        assert sorted(received.receiver.activity.symbols) == ["BINANCE:BTCUSDT", "MSFT"]
        assert received.receiver.connections == 1
    assert [json.loads(message) for message in heard[2:]] == [
        {"type": "unsubscribe", "symbol": "AAPL"},
        {"type": "subscribe", "symbol": "MSFT"},
    ]
    assert received.events.told()[1:] == [
        ("resubscribed", "finnhub: the tickers changed: added MSFT; removed AAPL.", None)
    ]


@pytest.mark.parametrize(
    ("status", "headers", "pauses", "problem", "kinds"),
    [
        (401, {}, [900.0, 900.0, 900.0], "put a valid one into FINNHUB_API_TOKEN", ["refused"]),
        (403, {}, [900.0, 900.0, 900.0], "put a valid one into FINNHUB_API_TOKEN", ["refused"]),
        (429, {}, [60.0, 60.0, 60.0], "too many connections", ["refused"]),
        (429, {"Retry-After": "3600"}, [3600.0, 3600.0, 3600.0], "too many connections", ["refused"]),
        (502, {}, [1.0, 2.0, 4.0], "HTTP status 502", []),
        (503, {"Retry-After": "3"}, [3.0, 3.0, 4.0], "HTTP status 503", []),
        (302, {"Location": "ws://127.0.0.1:1/"}, [1.0, 2.0, 4.0], "redirected", []),
    ],
)
def test_a_refused_handshake_is_a_sentence_without_the_token_and_a_pause(
    tmp_path: Path,
    status: int,
    headers: dict[str, str],
    pauses: list[float],
    problem: str,
    kinds: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    waits = Pauses(3)
    with (
        caplog.at_level("DEBUG"),
        scripted_server(Refusal(HTTPStatus(status), headers)) as port,
        receiving(tmp_path, port, pauses=waits) as received,
    ):
        until(lambda: len(waits) == 3, "three attempts")
        assert problem in str(received.receiver.problem)
        assert not received.receiver.connected
    assert waits == pauses
    said = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    assert TOKEN not in repr(said) + repr(received.events) + str(received.receiver.problem)
    assert received.events.kinds == kinds


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 abc def\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nno colon\r\n\r\n",
        b"\xff\xfe\x00\r\n\r\n",
        b"HTTP/1.1 302 Found\r\n\r\n",
    ],
)
def test_garbage_as_a_handshake_is_a_failed_attempt(tmp_path: Path, answer: bytes) -> None:
    waits = Pauses(3)
    with answering(answer) as port, receiving(tmp_path, port, pauses=waits) as received:
        until(lambda: len(waits) == 3, "three attempts")
        assert received.receiver.is_alive()
        assert TOKEN not in str(received.receiver.problem)
    assert waits == [1.0, 2.0, 4.0]
    assert received.events == []


def test_a_connection_that_held_over_a_minute_begins_with_the_shortest_pause_again(tmp_path: Path) -> None:
    times = Times()
    waits = Pauses(4)
    step = threading.Semaphore(0)

    def drop(connection: ServerConnection) -> None:
        sends(stay=False)(connection)
        step.acquire(timeout=LIMIT_SECONDS)

    with scripted_server(drop) as port, receiving(tmp_path, port, times=times, pauses=waits) as received:
        for number, seconds in enumerate((60.0, 60.0, 60.1, 0.0), start=1):
            until(lambda n=number: len(received.events.kinds) >= 3 * n - 2, "it")
            until(lambda n=number: received.last_seen.seconds_since("live") == 0, "it")
            times.move(seconds)
            step.release()
            until(lambda n=number: len(waits) == n, "a pause")
    assert waits == [1.0, 2.0, 1.0, 2.0]


def test_the_token_in_an_error_or_a_close_reason_is_blanked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    error = json.dumps({"type": "error", "msg": f"Invalid API key {TOKEN}"})

    def script(connection: ServerConnection) -> None:
        sends(error, stay=False)(connection)
        connection.close(1008, f"go away {TOKEN}")

    with scripted_server(script) as port, receiving(tmp_path, port, pauses=Pauses(1)) as received:
        received.until_told("refused", "disconnected")
        assert received.receiver.problem == "finnhub: the server closed the connection (1008 go away ***)."
    assert TOKEN not in caplog.text + repr(received.events)


def test_nothing_at_the_address_is_a_sentence(tmp_path: Path) -> None:
    with scripted_server() as port:
        pass
    with receiving(tmp_path, port) as received:
        until(lambda: "nothing answered" in str(received.receiver.problem), "a reason")
    assert received.events == []


def source(name: str, **more: object) -> str:
    return json.dumps({"type": "source", "source": name, **more}, separators=(",", ":"))


def test_the_feed_service_says_whose_frames_come(tmp_path: Path) -> None:
    one, two, three = (TRADE.replace("1.5", price) for price in ("2.5", "3.5", "4.5"))
    heard: list[str] = []
    frames = [
        source("demo"),
        TRADE,
        source("replay", run="a"),
        one,
        source("replay", run="b"),
        two,
        source("demo"),
        TRADE,
        source("replay", run="a"),
        three,
        source("replay", run="a", end=True),
        source("replay", run="b", end=True),
        TRADE,
    ]
    with (
        scripted_server(sends(*frames, heard=heard)) as port,
        receiving(tmp_path, port, service=True) as received,
    ):
        received.until_frames(6)
        assert received.frames("demo") == [TRADE] * 3
        assert sorted(received.frames("replay")) == [one, two, three]
        until(lambda: len(heard) == 6, "four answers")
    answers = [json.loads(message) for message in heard[2:]]
    assert {run: [answer["type"] for answer in answers if answer["run"] == run] for run in "ab"} == {
        "a": ["journal", "closed"],
        "b": ["journal", "closed"],
    }
    runs = {
        answer["run"]: [decode(line).text for line in read_lines(tmp_path, answer["journal"])]
        for answer in answers
        if answer["type"] == "journal"
    }
    assert runs == {"a": [one, three], "b": [two]}


def test_only_the_feed_service_can_say_whose_frames_come(tmp_path: Path) -> None:
    texts = [source("replay", run="a"), TRADE]
    with scripted_server(sends(*texts)) as port, receiving(tmp_path, port) as received:
        assert received.until_frames(2) == texts
        assert received.frames("live") == texts


def test_a_feed_service_without_a_source_leaves_no_journal(tmp_path: Path) -> None:
    with (
        scripted_server(sends(PING, '{"type":"news"}', PING)) as port,
        receiving(tmp_path, port, service=True) as received,
    ):
        until(lambda: received.receiver.counters.pings == 2, "two pings")
    assert received.frames() == []
    assert journal_ids(tmp_path) == []


def test_a_lost_connection_ends_its_replays(tmp_path: Path) -> None:
    with (
        scripted_server(
            sends(source("replay", run="a"), TRADE, stay=False), sends(source("demo"), TRADE)
        ) as port,
        receiving(tmp_path, port, service=True) as received,
    ):
        received.until_frames(2)
        assert received.frames("replay") == [TRADE]
        assert received.frames("demo") == [TRADE]


def test_receipts_carry_the_clock_of_this_machine(tmp_path: Path) -> None:
    before = time.time_ns() // 1_000_000
    with scripted_server(sends(TRADE)) as port, receiving(tmp_path, port) as received:
        received.until_frames(1)
    [journal] = journal_ids(tmp_path)
    [line] = read_lines(tmp_path, journal)
    assert before <= decode(line).received_ms <= time.time_ns() // 1_000_000
