"""A web server that gives one answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from server_thread import running


@contextmanager
def answering(status: int, body: bytes = b"ok") -> Iterator[int]:
    """Answer every request with a status and a body; give the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    with running(server):
        yield server.server_port
