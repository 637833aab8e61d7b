"""From a feed's socket to Kafka: raw bytes end nothing, and what was journaled is published in order."""

import json
import queue
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from websockets.sync.server import ServerConnection

from collector import producer as producer_module
from collector.clock import Clock
from collector.connection import Connection
from collector.journal import JournalFolder, JournalLimits, journal_ids, read_lines
from collector.last_seen import LastSeen
from collector.publisher import Publisher
from collector.receiver import Endpoint, Receiver
from collector.settings import CollectorSettings
from common.frames import read_frame
from common.recording import decode
from feeds import scripted_server
from mock_kafka import MockKafka
from stack import wait_until

LIMIT_SECONDS = 60
LIMITS = JournalLimits(
    rotate_bytes=20_000, rotate_seconds=3600, retention_seconds=86_400, retention_bytes=10**9, fsync=False
)


def trade(number: int) -> bytes:
    made = {"c": None, "p": number, "s": "A", "t": 1, "v": 1}
    return json.dumps({"data": [made], "type": "trade"}).encode()


class RawFeed:
    """A feed that sends the bytes that a test gives it, and closes the connection after each `None`."""

    def __init__(self) -> None:
        self.bytes: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

    def __call__(self, connection: ServerConnection) -> None:
        connection.recv(LIMIT_SECONDS)  # a close with unread bytes would throw away what was sent
        while (data := self.bytes.get(timeout=LIMIT_SECONDS)) is not None:
            # The receiver may have left at the first bytes that break the protocol; what it missed is missed.
            with suppress(OSError):
                connection.socket.sendall(data)
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_WR)  # a close frame might be the rest of a frame


@contextmanager
def running(folder: JournalFolder, port: int) -> Iterator[tuple[Receiver, Publisher]]:
    publisher = Publisher(CollectorSettings(market_feed="none"), folder)
    clock = Clock()
    endpoint = Endpoint(
        "finnhub", f"ws://127.0.0.1:{port}/", SecretStr("secret0token"), ("A",), "live", "live", 0.001, 0.01
    )
    receiver = Receiver(
        endpoint,
        folder,
        publisher,
        LastSeen(folder.path / "last-seen.json", clock, ""),
        uniform=lambda _, high: high,  # hypothesis takes the module `random` for its own while it works
        connect=lambda: Connection(tick_seconds=0.01),
    )
    publisher.start()
    receiver.start()
    try:
        yield receiver, publisher
    finally:
        receiver.stop()
        receiver.join(LIMIT_SECONDS)
        publisher.stop()
        folder.close()


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """Return a websocket frame; `first` says what it is and whether it is the last of its message."""
    return bytes([first, len(payload)]) + payload


payloads = st.binary(max_size=100) | st.text(max_size=20).map(
    lambda text: b'{"type":"trade","data":[%s]}' % text.encode()
)
frames = st.builds(frame, payloads, st.sampled_from([0x81, 0x82, 0x01, 0x80, 0x89, 0x8A]))
noise = st.lists(st.binary(max_size=200) | frames, max_size=6).map(b"".join)


def test_whatever_bytes_a_socket_gives_nothing_ends_and_each_journaled_trade_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = MockKafka()
    monkeypatch.setattr(producer_module, "client_config", lambda *_: {"bootstrap.servers": kafka.address})
    feed = RawFeed()
    folder = JournalFolder(tmp_path, LIMITS)
    numbers = iter(range(10**6))
    with scripted_server(feed) as port, running(folder, port) as (receiver, publisher):

        @settings(max_examples=60)
        @given(noise)
        def send(data: bytes) -> None:
            """Send some bytes on a connection of their own, with a trade before them."""
            feed.bytes.put(frame(trade(next(numbers))) + data)
            feed.bytes.put(None)
            assert receiver.is_alive()
            assert publisher.is_alive()

        send()
        sent = next(numbers)
        wait_until(
            lambda: receiver.counters.trades >= sent, "every trade to be received", LIMIT_SECONDS, every=0.01
        )
        expected = sum(
            read_frame(decode(line).text).trade_count
            for name in journal_ids(tmp_path)
            for line in read_lines(tmp_path, name)
        )
        wait_until(
            lambda: publisher.trades_published + publisher.dead_lettered >= expected,
            "every journaled trade to be published",
            LIMIT_SECONDS,
            every=0.01,
        )
        feed.bytes.put(None)
    names = [
        dict(message.headers())["frame"].decode() for message in kafka.read("market") if message.key() == b"A"
    ]
    places = [(journal, int(line)) for journal, _, line in (name.partition(":") for name in names)]
    assert places == sorted(set(places))
    assert len(places) >= sent
