"""How Superset talks to Presto: in UTC, over kept connections, and in sentences when something is away."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import requests
from jinja2 import TemplateError
from pyhive import presto
from pyhive.exc import OperationalError

from superset_dashboards.partitions import Symbol

POLL_SECONDS = 0.02
TIMEOUT_SECONDS = 60
SYMBOLS_KEPT_SECONDS = 10
SYMBOLS_QUERY = "SELECT symbol, asset_class, last_seen FROM symbols WHERE bucket = 'all'"

_away: ContextVar[bool] = ContextVar("_away", default=False)


class PrestoSession(requests.Session):  # type: ignore[misc]  # requests has no types
    """An HTTP session whose failures are one sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.headers["X-Presto-Time-Zone"] = "UTC"

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request with a time limit; raise OperationalError with a sentence when nobody answers it."""
        kwargs["timeout"] = TIMEOUT_SECONDS
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.RequestException:
            raise OperationalError("Presto was not reachable; the page tries again by itself.") from None
        if response.status_code == requests.codes.service_unavailable:
            raise OperationalError("Presto was still starting; the page tries again by itself.")
        if b'"error":{' in response.content and (error := response.json().get("error")):
            raise OperationalError(sentence(error))
        return response


def sentence(error: dict[str, Any]) -> str:
    """Return in one sentence what Presto's JSON tells of an error."""
    if error.get("errorName") == "NO_NODES_AVAILABLE":
        return "Presto was still starting; the page tries again by itself."
    if "NoHostAvailable" in error.get("failureInfo", {}).get("type", ""):
        return "Cassandra was not reachable; the page tries again by itself."
    return str(error.get("message", "Presto gave no reason."))


CLIENT = {"requests_session": PrestoSession(), "poll_interval": POLL_SECONDS, "source": "superset"}


def connect_engine(url: Any, parameters: dict[str, Any], *_: Any) -> tuple[Any, dict[str, Any]]:
    """Give a new SQLAlchemy engine this module's session (Superset's `DB_CONNECTION_MUTATOR`)."""
    if _away.get():
        # Superset's errors can only be imported once there is an application.
        from superset.db_engine_specs.exceptions import SupersetDBAPIConnectionError

        raise SupersetDBAPIConnectionError("Presto was not asked.")
    parameters["connect_args"] |= CLIENT
    return url, parameters


@contextmanager
def away() -> Iterator[None]:
    """Make Superset believe that Presto is away, so that nothing waits for it."""
    token = _away.set(True)
    try:
        yield
    finally:
        _away.reset(token)


class KnownSymbols:
    """The table `symbols`, read again when what is known is older than a few seconds."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._lock = threading.Lock()
        self._symbols: list[Symbol] = []
        self._read_at = -float("inf")

    def __call__(self) -> list[Symbol]:
        """Return the symbols, or the last known ones; raise TemplateError when they were never read."""
        with self._lock:
            if time.monotonic() - self._read_at > SYMBOLS_KEPT_SECONDS:
                try:
                    self._symbols, self._read_at = self._read(), time.monotonic()
                except OperationalError as error:
                    if not self._symbols:
                        raise TemplateError(str(error)) from None
            return self._symbols

    def _read(self) -> list[Symbol]:
        host, port = self._address
        cursor = presto.connect(
            host, port, "superset", catalog="cassandra", schema="market", **CLIENT
        ).cursor()
        cursor.execute(SYMBOLS_QUERY)
        return [Symbol(name, kind, datetime.fromisoformat(seen)) for name, kind, seen in cursor.fetchall()]
