"""A local receiver of alerts, such as a chat's webhook."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from server_thread import running

SECRET = "receiverssecret"


def alert_url(port: int) -> str:
    """Return the address of a receiver as apprise takes it, with a password that nobody else is to see."""
    return f"json://someone:{SECRET}@127.0.0.1:{port}/alerts"


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it; refuses with 503 while `refusing`."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.refusing = False
        self.messages: list[str] = []

    def url(self) -> str:
        """Return its address as apprise takes it."""
        return alert_url(int(self.server_address[1]))


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["message"]
        if not self.server.refusing:
            self.server.messages.append(message)
        self.send_response(503 if self.server.refusing else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver(port)
    with running(receiver):
        yield receiver
