"""A connection against servers that answer too slowly, and the words for how it ended."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr
from websockets.sync.server import ServerConnection

from collector.connection import (
    Connection,
    ConnectionLostError,
    RejectedError,
    closing_words,
    refusal,
    retry_after,
)
from collector.websocket_frames import Message
from feeds import LIMIT_SECONDS, scripted_server
from server_thread import running

TOKEN = SecretStr("secret0token")
NOW = datetime(2024, 7, 8, 13, 0, tzinfo=UTC).timestamp()


@contextmanager
def dripping() -> Iterator[int]:
    """Serve a handshake that comes byte by byte and never ends, until its client goes."""

    class Drip(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while True:
                    self.request.sendall(b"H")
                    ended.wait(0.02)
            except OSError:
                ended.set()

    ended = threading.Event()
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Drip)
    with running(server):
        yield server.server_address[1]
        assert ended.wait(LIMIT_SECONDS)


def test_a_handshake_that_comes_byte_by_byte_is_given_up() -> None:
    with dripping() as port:
        connection = Connection(connect_seconds=0.5)
        with pytest.raises(ConnectionLostError, match="connection"):
            connection.open(f"ws://127.0.0.1:{port}/", TOKEN, direct=True)
        connection.close()


def test_a_slow_handshake_is_given_up_after_a_lookup_that_took_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aborted = threading.Event()

    class Watched(Connection):
        def abort(self) -> None:
            super().abort()
            aborted.set()

    def look_up(*arguments: Any, **options: Any) -> Any:
        assert aborted.wait(LIMIT_SECONDS)
        return getaddrinfo(*arguments, **options)

    getaddrinfo = socket.getaddrinfo
    with dripping() as port:
        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        connection = Watched(connect_seconds=0.5)
        with pytest.raises(ConnectionLostError, match="connection"):
            connection.open(f"ws://127.0.0.1:{port}/", TOKEN, direct=True)
        connection.close()


def test_what_came_before_a_close_is_returned_before_the_end_is_told() -> None:
    def script(connection: ServerConnection) -> None:
        assert connection.recv(LIMIT_SECONDS) == '{"type":"a"}'
        connection.send("one")
        connection.ping(b"p")
        connection.send(b"two")
        connection.close(1001, "bye")

    with scripted_server(script) as port:
        connection = Connection(tick_seconds=0.01)
        connection.open(f"ws://127.0.0.1:{port}/", TOKEN, direct=True)
        connection.send({"type": "a"})
        received: list[Message] = []
        with pytest.raises(ConnectionLostError, match=r"^the server closed the connection \(1001 bye\)$"):
            while True:
                received += connection.receive()
        connection.close()
    assert received == [Message("data", b"one", 3), Message("data", b"two", 3)]


def test_what_came_before_bytes_that_break_the_protocol_is_returned() -> None:
    def script(connection: ServerConnection) -> None:
        connection.socket.sendall(b"\x81\x03one\x83\x00")
        connection.recv(LIMIT_SECONDS)

    with scripted_server(script) as port:
        connection = Connection(tick_seconds=0.01)
        connection.open(f"ws://127.0.0.1:{port}/", TOKEN, direct=True)
        received: list[Message] = []
        with pytest.raises(ConnectionLostError, match="the opcode 3 is unknown"):
            while True:
                received += connection.receive()
        connection.close()
    assert received == [Message("data", b"one", 3)]


def test_what_came_beside_a_ping_that_cannot_be_answered_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    def script(connection: ServerConnection) -> None:
        connection.socket.sendall(b"\x81\x03one\x89\x00\x81\x03two")
        connection.recv(LIMIT_SECONDS)

    def pong(_: bytes) -> None:
        raise BrokenPipeError

    with scripted_server(script) as port:
        connection = Connection(tick_seconds=0.01)
        connection.open(f"ws://127.0.0.1:{port}/", TOKEN, direct=True)
        monkeypatch.setattr(connection._socket, "pong", pong)
        received: list[Message] = []
        with pytest.raises(ConnectionLostError, match="the connection was lost"):
            while True:
                received += connection.receive()
        connection.close()
    assert received == [Message("data", b"one", 3), Message("data", b"two", 3)]


def test_an_aborted_connection_is_lost_and_a_closed_one_cannot_be_used() -> None:
    def script(connection: ServerConnection) -> None:
        connection.recv(LIMIT_SECONDS)

    with scripted_server(script) as port:
        connection = Connection(tick_seconds=LIMIT_SECONDS)
        connection.abort()  # before it is open there is nothing to end
        connection.open(f"ws://127.0.0.1:{port}/", TOKEN, direct=True)
        connection.abort()
        with pytest.raises(ConnectionLostError, match="the connection was lost"):
            connection.receive()
        connection.close()
        with pytest.raises(ConnectionLostError):
            connection.receive()
        with pytest.raises(ConnectionLostError):
            connection.send({})


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 40, 999_999_999.0),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Mon, 08 Jul 2024 13:01:30 GMT", 90.0),
        ("Mon, 08 Jul 2024 12:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "headers", "kind", "seconds"),
    [
        (401, {}, RejectedError, 900.0),
        (403, {"retry-after": "10"}, RejectedError, 900.0),
        (401, {"retry-after": "1000"}, RejectedError, 1000.0),
        (429, {}, RejectedError, 60.0),
        (429, {"retry-after": "0"}, RejectedError, 0.0),
        (500, {}, ConnectionLostError, None),
        (503, {"retry-after": "7"}, ConnectionLostError, 7.0),
    ],
)
def test_a_refused_handshake_says_how_long_to_wait(
    status: int, headers: dict[str, str], kind: type[ConnectionLostError], seconds: float | None
) -> None:
    error = refusal(status, headers, NOW)
    assert type(error) is kind
    assert error.retry_seconds == seconds
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "the server closed the connection"),
        (b"\x03", "the server closed the connection"),
        (b"\x03\xe8", "the server closed the connection (1000)"),
        (b"\x03\xf0one per token", "the server closed the connection (1008 one per token)"),
        (b"\x03\xf0\x1b[31m\n\xff", "the server closed the connection (1008 ?[31m \ufffd)"),
    ],
)
def test_a_close_is_a_sentence(payload: bytes, words: str) -> None:
    assert closing_words(payload) == words
