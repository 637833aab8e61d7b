"""A websocket server that sends prepared frames as fast as they are taken, or at a pace."""

import base64
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CHUNK_FRAMES = 500
JOIN_SECONDS = 60.0


class Sender:
    """Waits for one client, then sends; `started` is when the first frame went (monotonic)."""

    def __init__(self, frames: Sequence[str], per_second: float | None) -> None:
        self.started = 0.0
        self._frames = [_frame(text.encode()) for text in frames]
        self._per_second = per_second
        self._go = threading.Event()
        self._connected = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for_client(self, seconds: float) -> bool:
        """Wait until a client has connected; return whether one has."""
        return self._connected.wait(seconds)

    def start(self) -> None:
        """Send everything."""
        self.started = time.monotonic()
        self._go.set()

    def close(self) -> None:
        """Let the client go."""
        self._go.set()
        self._socket.close()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError:
            return
        with client:
            _handshake(client)
            self._connected.set()
            self._go.wait()
            try:
                for number in range(0, len(self._frames), self._chunk):
                    if self._per_second:
                        due = self.started + number / self._per_second
                        time.sleep(max(due - time.monotonic(), 0))
                    client.sendall(b"".join(self._frames[number : number + self._chunk]))
                while client.recv(4096):
                    continue
            except OSError:
                return

    @property
    def _chunk(self) -> int:
        return 1 if self._per_second else CHUNK_FRAMES


@contextmanager
def sending(frames: Sequence[str], per_second: float | None = None) -> Iterator[Sender]:
    """Run a sender; nothing goes before its `start`."""
    sender = Sender(frames, per_second)
    try:
        yield sender
    finally:
        sender.close()


def _handshake(client: socket.socket) -> None:
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(4096)
    [key] = [
        line.partition(b":")[2].strip()
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key:")
    ]
    accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def _frame(text: bytes) -> bytes:
    size = len(text)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + text
    return struct.pack("!BBH", 0x81, 126, size) + text
