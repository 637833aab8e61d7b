"""A service's metrics endpoint: Prometheus text at `/metrics`, `/health` and its documents beside it."""

import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Gauge,
    disable_created_metrics,
    generate_latest,
)

Health = Callable[[], str | None]
Documents = Mapping[str, Callable[[], str]]
"""What returns JSON, by its path."""

# A client that opens a connection and sends nothing must not hold a thread for ever.
REQUEST_SECONDS = 10.0


class MetricsError(Exception):
    """Say in one sentence why the metrics are not served."""


class MetricsServer:
    """An HTTP server in a thread of its own; to be used in a `with`, or ended by `close`.

    `health` returns why the service is not healthy (503 with that sentence), or None (200 with `ok`). It is
    called in the server's threads, as `documents` are. `port` 0 takes any free one; the attribute `port` says
    which. Raises MetricsError, which names `setting`, when the port cannot be listened on.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        health: Health,
        *,
        host: str,
        port: int,
        setting: str,
        documents: Documents | None = None,
    ) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        Gauge("market_start_timestamp_seconds", "When the process started", registry=registry).set(
            time.time()
        )
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise MetricsError(
                f"Metrics could not be served on {host}:{port} ({error.strerror}): "
                f"set {setting} to a free port."
            ) from None
        self._server.registry, self._server.health = registry, health
        self._server.documents = documents or {}
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    registry: CollectorRegistry
    health: Health
    documents: Documents


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(self.server.registry))
            case "/health":
                reason = self.server.health()
                self._answer(503 if reason else 200, "text/plain; charset=utf-8", (reason or "ok").encode())
            case path if path in self.server.documents:
                self._answer(200, "application/json", self.server.documents[path]().encode())
            case path:
                paths = ("/metrics", *self.server.documents)
                message = f"There is no {path}; there are {', '.join(paths)} and /health."
                self._answer(404, "text/plain; charset=utf-8", message.encode())

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a monitoring system asks every few seconds."""
