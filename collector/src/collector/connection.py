"""A websocket to a feed, and in words how it ended."""

import socket
import ssl
import struct
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import orjson
import websocket
from pydantic import SecretStr

CONNECT_SECONDS = 15.0
READ_AHEAD_BYTES = 64 * 1024
REFUSALS = {
    401: "the token was refused; check FINNHUB_API_TOKEN",
    403: "the token was refused; check FINNHUB_API_TOKEN",
    429: "too many connections were opened with this token",
}

_WORDS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((ConnectionRefusedError,), "nothing answered at its address"),
    ((socket.gaierror,), "the name of its server was not found"),
    ((ssl.SSLError,), "TLS failed; check the certificates and any proxy"),
    ((TimeoutError, websocket.WebSocketTimeoutException), "the server did not answer in time"),
    ((ConnectionError, websocket.WebSocketConnectionClosedException), "the connection was lost"),
)


class ConnectionLostError(Exception):
    """Say in a few words how the connection ended, or why there was none."""


class SilentError(ConnectionLostError):
    """No frame at all came for too long."""


class RejectedError(ConnectionLostError):
    """The server does not want this token."""


class _ReadAheadWebSocket(websocket.WebSocket):  # type: ignore[misc]
    """Takes from the socket all that is there, not a few bytes; calls `before_read` before it has to wait."""

    def __init__(self, before_read: Callable[[], None]) -> None:
        super().__init__(skip_utf8_validation=True, enable_multithread=False)
        self._before_read = before_read
        self._ahead = memoryview(b"")

    def _recv(self, bufsize: int) -> bytes:
        if not self._ahead:
            self._before_read()
            self._ahead = memoryview(super()._recv(max(bufsize, READ_AHEAD_BYTES)))
        data, self._ahead = self._ahead[:bufsize], self._ahead[bufsize:]
        return bytes(data)


class Connection:
    """One websocket; `before_read` is called whenever all that was received has been given out."""

    def __init__(self, before_read: Callable[[], None]) -> None:
        self._socket = _ReadAheadWebSocket(before_read)
        self._silence_seconds = CONNECT_SECONDS

    def open(self, url: str, token: SecretStr, direct: bool, silence_seconds: float) -> None:
        """Connect; `direct` is to a service of this stack, around any proxy.

        Raises ConnectionLostError, without a word of the token.
        """
        self._silence_seconds = silence_seconds
        self._socket.settimeout(min(CONNECT_SECONDS, silence_seconds))
        try:
            self._socket.connect(
                f"{url}?token={quote(token.get_secret_value(), safe='')}",
                http_no_proxy=[urlsplit(url).hostname] if direct else None,
                suppress_origin=direct,
            )
        except websocket.WebSocketBadStatusException as error:
            refusal = REFUSALS.get(error.status_code)
            if refusal is not None:
                raise RejectedError(refusal) from None
            raise ConnectionLostError(f"the server answered with HTTP status {error.status_code}") from None
        except (websocket.WebSocketException, OSError, ValueError) as error:
            raise ConnectionLostError(_readable(error)) from None
        self._socket.settimeout(silence_seconds)

    def send(self, frame: dict[str, object]) -> None:
        """Send a frame; raise ConnectionLostError."""
        try:
            self._socket.send(orjson.dumps(frame).decode())
        except (websocket.WebSocketException, OSError) as error:
            raise ConnectionLostError(_readable(error)) from None

    def receive(self) -> str:
        """Wait for the next frame and return its text; raise SilentError or ConnectionLostError."""
        try:
            opcode, data = self._socket.recv_data()
        except websocket.WebSocketTimeoutException:
            raise SilentError(f"no frame came for {self._silence_seconds:g} s") from None
        except (websocket.WebSocketException, OSError) as error:
            raise ConnectionLostError(_readable(error)) from None
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            raise ConnectionLostError(_closing_words(data))
        text: str = data.decode("utf-8", "backslashreplace")
        return text

    def abort(self) -> None:
        """End the connection from another thread."""
        self._socket.abort()

    def close(self) -> None:
        """Let the socket go."""
        self._socket.shutdown()


def _closing_words(data: bytes) -> str:
    if len(data) < 2:
        return "the server closed the connection"
    code = struct.unpack("!H", data[:2])[0]
    reason = data[2:].decode("utf-8", "backslashreplace")
    return f"the server closed the connection ({code}{' ' if reason else ''}{reason})"


def _readable(error: Exception) -> str:
    """Put an error into words that cannot hold the address, whatever the error's own text holds."""
    for kinds, words in _WORDS:
        if isinstance(error, kinds):
            return words
    return f"the connection failed ({type(error).__name__})"
