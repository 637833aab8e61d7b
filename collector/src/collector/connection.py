"""A websocket to a feed, and in words how it ended."""

import email.utils
import http
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from urllib.parse import quote, urlsplit

import orjson
import websocket
from pydantic import SecretStr
from websocket._handshake import SUPPORTED_REDIRECT_STATUSES

from collector.backoff import REFUSED_SECONDS, TOO_MANY_SECONDS
from collector.websocket_frames import FrameDecoder, Message
from common.redaction import printable

CONNECT_SECONDS = 15.0  # DNS, TLS and a handshake over a slow line
ABORT_SECONDS = 0.5  # after the limit; a socket that came late is ended this soon
TICK_SECONDS = 1.0  # how long a read may take before the receiver looks at its clock and its tickers
READ_BYTES = 64 * 1024
# A frame that declares more than this is not waited for: at 10 MB/s it would block the feed for over 6 s.
MAX_SKIPPED_BYTES = 64 * 1024**2

_WORDS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((ConnectionRefusedError,), "nothing answered at its address"),
    ((socket.gaierror,), "the name of its server was not found"),
    ((ssl.SSLError,), "TLS failed; check the certificates and any proxy"),
    ((TimeoutError, websocket.WebSocketTimeoutException), "the server did not answer in time"),
    ((ConnectionError, websocket.WebSocketConnectionClosedException), "the connection was lost"),
)


class ConnectionLostError(Exception):
    """Say in a few words how the connection ended, or why there was none.

    `retry_seconds` is how long the server wants to be left in peace, if it says so.
    """

    def __init__(self, words: str, retry_seconds: float | None = None) -> None:
        super().__init__(words)
        self.retry_seconds = retry_seconds


class RejectedError(ConnectionLostError):
    """The server does not accept this token, or not now."""


class Connection:
    """One websocket, used by one thread; only `abort` may be called by another."""

    def __init__(self, connect_seconds: float = CONNECT_SECONDS, tick_seconds: float = TICK_SECONDS) -> None:
        self._socket = websocket.WebSocket(skip_utf8_validation=True, enable_multithread=False)
        self._decoder = FrameDecoder()
        self._connect_seconds = connect_seconds
        self._tick_seconds = tick_seconds
        self._ended: str | None = None

    def open(self, url: str, token: SecretStr, direct: bool) -> None:
        """Connect; `direct` is to a service of this stack, around any proxy.

        Raises ConnectionLostError, without a word of the token.
        """
        self._socket.settimeout(self._connect_seconds)
        # The library limits each read alone: a server that sends a byte now and then would never be given up.
        opened = threading.Event()
        threading.Thread(target=self._limit, args=(opened,), daemon=True).start()
        try:
            self._socket.connect(
                f"{url}?token={quote(token.get_secret_value(), safe='')}",
                http_no_proxy=[urlsplit(url).hostname] if direct else None,
                suppress_origin=direct,
                redirect_limit=0,  # the token is for this host only
            )
            self._socket.settimeout(self._tick_seconds)
        except websocket.WebSocketBadStatusException as error:
            raise refusal(error.status_code, error.resp_headers or {}, time.time()) from None
        except Exception as error:  # the library raises whatever a garbage answer leads to
            answer = self._socket.handshake_response
            if answer is not None and answer.status in SUPPORTED_REDIRECT_STATUSES:
                raise ConnectionLostError(
                    "the server redirected to another address, which is not given the token"
                ) from None
            raise ConnectionLostError(_readable(error)) from None
        finally:
            opened.set()

    def send(self, message: dict[str, object]) -> None:
        """Send a message; raise ConnectionLostError."""
        self._send(partial(self._socket.send, orjson.dumps(message).decode()))

    def receive(self) -> list[Message]:
        """Wait a moment for the next bytes and return the data and oversized messages they complete.

        Raises ConnectionLostError, after every message that came before the end has been returned.
        """
        if self._ended is not None:
            raise ConnectionLostError(self._ended)
        try:
            data = self._socket.sock.recv(READ_BYTES)
        except (TimeoutError, ssl.SSLWantReadError):
            return []
        except (OSError, AttributeError) as error:
            raise ConnectionLostError(_readable(error)) from None
        if not data:
            raise ConnectionLostError("the connection was lost")
        messages = self._decoder.feed(data)
        if self._decoder.error is not None:
            self._ended = f"the server broke the websocket protocol ({self._decoder.error})"
        return self._without_control(messages)

    def abort(self) -> None:
        """End the connection from another thread."""
        opened = self._socket.sock
        if opened is not None:
            try:
                opened.shutdown(socket.SHUT_RDWR)
            except OSError:
                return

    def close(self) -> None:
        """Let the socket go."""
        self._socket.shutdown()

    def _limit(self, opened: threading.Event) -> None:
        """Abort what has not opened in time, again and again: a slow lookup has no socket to abort yet."""
        seconds = self._connect_seconds
        while not opened.wait(seconds):
            self.abort()
            seconds = ABORT_SECONDS

    def _without_control(self, messages: list[Message]) -> list[Message]:
        """Answer pings, note a close, and return the rest."""
        if all(message.kind == "data" for message in messages):
            return messages
        rest = []
        for message in messages:
            if message.kind == "ping":
                self._answer_ping(message.payload)
            elif message.kind == "close":
                self._ended = closing_words(message.payload)
                break
            elif message.kind != "pong":
                rest.append(message)
                if message.kind == "oversized" and message.size > MAX_SKIPPED_BYTES:
                    self._ended = f"a frame of {message.size} bytes was not waited for"
                    break
        return rest

    def _answer_ping(self, payload: bytes) -> None:
        """Send a pong; when that fails, the messages beside the ping are returned first."""
        try:
            self._send(partial(self._socket.pong, payload))
        except ConnectionLostError as lost:
            self._ended = str(lost)

    def _send(self, send: Callable[[], object]) -> None:
        try:
            self._socket.settimeout(self._connect_seconds)
            send()
            self._socket.settimeout(self._tick_seconds)
        except (websocket.WebSocketException, OSError, AttributeError) as error:
            raise ConnectionLostError(_readable(error)) from None


def refusal(status: int, headers: Mapping[str, str], now: float) -> ConnectionLostError:
    """Return what an HTTP status of a handshake means; `now` is for a Retry-After that is a date."""
    wait = retry_after(headers.get("retry-after"), now)
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        return RejectedError(
            f"the token was refused (HTTP status {status}): put a valid one into FINNHUB_API_TOKEN "
            "and restart the collector",
            max(wait or 0.0, REFUSED_SECONDS),
        )
    if status == http.HTTPStatus.TOO_MANY_REQUESTS:
        return RejectedError(
            "too many connections were opened with this token (HTTP status 429)",
            TOO_MANY_SECONDS if wait is None else wait,
        )
    return ConnectionLostError(f"the server answered with HTTP status {status}", wait)


def retry_after(value: str | None, now: float) -> float | None:
    """Read a Retry-After header, a number of seconds or a date; None when it is missing or neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(email.utils.parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None


def closing_words(payload: bytes) -> str:
    """Return how a close frame explains itself."""
    if len(payload) < 2:
        return "the server closed the connection"
    code = struct.unpack("!H", payload[:2])[0]
    reason = printable(payload[2:].decode("utf-8", "replace"))
    return f"the server closed the connection ({code}{' ' if reason else ''}{reason})"


def _readable(error: Exception) -> str:
    """Put an error into words that cannot hold the address, whatever the error's own text holds."""
    for kinds, words in _WORDS:
        if isinstance(error, kinds):
            return words
    return f"the connection failed ({type(error).__name__})"
