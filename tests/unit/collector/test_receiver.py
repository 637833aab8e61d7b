"""The receiver against real websocket servers: what it journals, and what it tells of gaps."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest
from pydantic import SecretStr
from websockets.sync.server import ServerConnection

from collector.journal import JournalFolder, JournalWriter, journal_ids, read_lines
from collector.message import Event
from collector.receiver import Endpoint, Receiver
from common.identity import journal_source
from common.recording import Frame, decode
from feeds import LIMIT_SECONDS, scripted_server
from stack import wait_until

TOKEN = "secret0token"
TICKERS = ("AAPL", "BINANCE:BTCUSDT")
TWIN = '{"c":null,"p":1.5,"s":"AAPL","t":1,"v":1}'
TRADE = f'{{"data":[{TWIN},{TWIN}],"type":"trade"}}'
PING = '{"type":"ping"}'


@dataclass
class Received:
    """A running receiver and what came of it."""

    receiver: Receiver
    folder: Path
    events: list[Event]

    def frames(self, source: str | None = None) -> list[str]:
        return [
            decode(line).text
            for journal in journal_ids(self.folder)
            if source in (None, journal_source(journal))
            for line in read_lines(self.folder, journal)
        ]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def until_frames(self, count: int) -> list[str]:
        wait_until(lambda: len(self.frames()) >= count, f"{count} frames in the journal", LIMIT_SECONDS)
        return self.frames()

    def until_told(self, *kinds: str) -> None:
        wait_until(lambda: set(kinds) <= set(self.kinds()), f"events {kinds}", LIMIT_SECONDS)


@contextmanager
def receiving(
    folder: Path, port: int, service: bool = False, silence_seconds: float = LIMIT_SECONDS
) -> Iterator[Received]:
    """Run a receiver of live trades, or of a feed service."""
    endpoint = Endpoint(
        "feed" if service else "finnhub",
        f"ws://127.0.0.1:{port}/",
        SecretStr(TOKEN),
        TICKERS,
        source=None if service else "live",
        market="demo" if service else "live",
        first_delay=0.01,
        longest_delay=0.1,
        silence_seconds=silence_seconds,
    )
    journals = JournalFolder(folder, 10**6, 1)
    events: list[Event] = []
    receiver = Receiver(endpoint, journals, lambda: None, events.append)
    receiver.start()
    try:
        yield Received(receiver, folder, events)
    finally:
        receiver.stop()
        journals.close()


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


def test_frames_are_journaled_as_they_came_and_pings_only_counted(tmp_path: Path) -> None:
    texts = [TRADE, '{"type":"news","data":[]}', "nonsense", '{ "type": "trade", "data": [] }', "ünïcode"]
    heard: list[str] = []
    with scripted_server(sends(PING, *texts, heard=heard)) as port, receiving(tmp_path, port) as received:
        assert received.until_frames(len(texts)) == texts
        figures = received.receiver.figures
        assert (figures.frames, figures.trades, figures.pings) == (5, 2, 1)
        assert received.receiver.connected
        assert received.receiver.problem is None
    assert [json.loads(message) for message in heard] == [
        {"type": "subscribe", "symbol": ticker} for ticker in TICKERS
    ]
    assert received.kinds() == ["connected"]


def test_frames_that_are_not_utf_8_are_kept(tmp_path: Path) -> None:
    def script(connection: ServerConnection) -> None:
        connection.send(b'{"type":"trade","data":\xff}')
        connection.recv(LIMIT_SECONDS)
        connection.recv(LIMIT_SECONDS)
        connection.recv(LIMIT_SECONDS)

    with scripted_server(script) as port, receiving(tmp_path, port) as received:
        assert received.until_frames(1) == ['{"type":"trade","data":\\xff}']


def test_a_lost_connection_is_made_again_and_the_gap_measured(tmp_path: Path) -> None:
    with (
        scripted_server(sends(TRADE, stay=False), sends(TRADE)) as port,
        receiving(tmp_path, port) as received,
    ):
        received.until_frames(2)
        received.until_told("gap")
    assert received.kinds() == ["connected", "disconnected", "resubscribed", "gap"]
    gap = received.events[-1].gap_seconds
    assert gap is not None
    assert 0 < gap < LIMIT_SECONDS
    assert "1000" in received.events[1].detail
    assert received.events[0].session != received.events[2].session


def test_the_gap_since_the_last_process_is_told(tmp_path: Path) -> None:
    journals = JournalFolder(tmp_path, 10**6, 1)
    writer = JournalWriter(journals, "live", lambda: None)
    writer.append(Frame(1, TRADE))
    writer.close()
    journals.close()
    with scripted_server(sends()) as port, receiving(tmp_path, port) as received:
        received.until_told("gap")
    assert received.kinds() == ["connected", "gap"]


def test_a_silent_stall_is_noticed_told_and_ended(tmp_path: Path) -> None:
    with (
        scripted_server(sends(TRADE), sends(TRADE)) as port,
        receiving(tmp_path, port, silence_seconds=0.3) as received,
    ):
        received.until_told("silent", "disconnected", "resubscribed", "gap")
    assert received.kinds()[:5] == ["connected", "silent", "disconnected", "resubscribed", "gap"]
    gap = received.events[4].gap_seconds
    assert gap is not None
    assert gap >= 0.3


def test_pings_are_a_sign_of_life(tmp_path: Path) -> None:
    alive = threading.Event()

    def script(connection: ServerConnection) -> None:
        for _ in range(10):
            connection.send(PING)
            alive.wait(0.1)
        connection.send(TRADE)
        connection.recv(LIMIT_SECONDS)
        connection.recv(LIMIT_SECONDS)
        connection.recv(LIMIT_SECONDS)

    with scripted_server(script) as port, receiving(tmp_path, port, silence_seconds=0.6) as received:
        received.until_frames(1)
        assert received.receiver.figures.pings == 10
    assert "silent" not in received.kinds()


def test_repeated_frames_are_stored_and_counted(tmp_path: Path) -> None:
    other = TRADE.replace("1.5", "1.6")
    with scripted_server(sends(TRADE, other, TRADE, TRADE)) as port, receiving(tmp_path, port) as received:
        assert received.until_frames(4) == [TRADE, other, TRADE, TRADE]
        assert received.receiver.figures.duplicates == 2


def test_a_refused_symbol_is_told_once_with_what_was_subscribed_last(tmp_path: Path) -> None:
    error = '{"type":"error","msg":"Subscribing to too many symbols"}'
    with scripted_server(sends(error, error, TRADE)) as port, receiving(tmp_path, port) as received:
        received.until_frames(3)
    [event] = [event for event in received.events if event.kind == "refused"]
    assert "Subscribing to too many symbols" in event.detail
    assert "BINANCE:BTCUSDT" in event.detail


@pytest.mark.parametrize(
    "status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY]
)
def test_a_refused_handshake_is_a_sentence_without_the_token(
    tmp_path: Path, status: HTTPStatus, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level("DEBUG"),
        scripted_server(sends(), status=status) as port,
        receiving(tmp_path, port) as received,
    ):
        problem = wait_until(
            lambda: (said := received.receiver.problem) and "not connected yet" not in said and said,
            "a reason",
            LIMIT_SECONDS,
        )
        assert not received.receiver.connected
    assert ("token" in problem) == (status != HTTPStatus.BAD_GATEWAY)
    said = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets")]
    assert TOKEN not in problem + repr(said) + repr(received.events)
    assert received.kinds() == ([] if status == HTTPStatus.BAD_GATEWAY else ["refused"])


def test_the_token_in_an_error_of_the_feed_is_blanked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    error = json.dumps({"type": "error", "msg": f"Invalid API key {TOKEN}"})
    with scripted_server(sends(error)) as port, receiving(tmp_path, port) as received:
        received.until_told("refused")
    assert TOKEN not in caplog.text + repr(received.events)


def test_nothing_at_the_address_is_a_sentence(tmp_path: Path) -> None:
    with scripted_server() as port:
        pass
    with receiving(tmp_path, port) as received:
        wait_until(lambda: "nothing answered" in str(received.receiver.problem), "a reason", LIMIT_SECONDS)
    assert received.kinds() == []


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
        wait_until(lambda: len(heard) == 6, "four answers", LIMIT_SECONDS)
    answers = [json.loads(message) for message in heard[2:]]
    assert [(answer["type"], answer["run"]) for answer in answers] == [
        ("journal", "a"),
        ("journal", "b"),
        ("closed", "a"),
        ("closed", "b"),
    ]
    runs = {
        answer["run"]: [decode(line).text for line in read_lines(tmp_path, answer["journal"])]
        for answer in answers[:2]
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
        wait_until(lambda: received.receiver.figures.pings == 2, "two pings", LIMIT_SECONDS)
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
