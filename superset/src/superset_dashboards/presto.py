"""Connections to Presto: in UTC, kept open, with errors in sentences."""

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

from common.symbols import SYMBOLS_BUCKET
from superset_dashboards.partitions import Symbol

POLL_SECONDS = 0.02  # most queries of a chart take less than 0.1 s
TIMEOUT_SECONDS = 60  # Superset's own limit of a chart's query
SYMBOLS_MAX_AGE_SECONDS = 10  # one refresh of the dashboard
SYMBOLS_QUERY = f"SELECT symbol, asset_class, last_seen FROM symbols WHERE bucket = '{SYMBOLS_BUCKET}'"  # noqa: S608

_skip_connections: ContextVar[bool] = ContextVar("_skip_connections", default=False)


class PrestoSession(requests.Session):  # type: ignore[misc]  # requests has no types
    """An HTTP session whose failures are one sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # Presto is beside Superset, and no proxy is asked for it
        self.headers["X-Presto-Time-Zone"] = "UTC"

    def request(self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request with a time limit; raise OperationalError with a sentence without an answer."""
        kwargs["timeout"] = TIMEOUT_SECONDS
        try:
            response = super().request(method, url, *args, **kwargs)
        except requests.RequestException:
            raise OperationalError("Presto does not answer; the page tries again by itself.") from None
        if response.status_code == requests.codes.service_unavailable:
            raise OperationalError("Presto is still starting; the page tries again by itself.")
        if b'"error":{' in response.content and (error := response.json().get("error")):
            raise OperationalError(sentence(error))
        return response


def sentence(error: dict[str, Any]) -> str:
    """Return one sentence for an error in Presto's JSON."""
    if error.get("errorName") == "NO_NODES_AVAILABLE":
        return "Presto is still starting; the page tries again by itself."
    if "NoHostAvailable" in error.get("failureInfo", {}).get("type", ""):
        return "Cassandra does not answer; the page tries again by itself."
    return str(error.get("message", "Presto refused the query without a reason."))


CLIENT = {"requests_session": PrestoSession(), "poll_interval": POLL_SECONDS, "source": "superset"}


def connect_engine(url: Any, parameters: dict[str, Any], *_: Any) -> tuple[Any, dict[str, Any]]:
    """Give a new SQLAlchemy engine this module's session (Superset's `DB_CONNECTION_MUTATOR`)."""
    if _skip_connections.get():
        # Superset's errors can only be imported once there is an application.
        from superset.db_engine_specs.exceptions import SupersetDBAPIConnectionError

        raise SupersetDBAPIConnectionError("The connection to Presto was skipped.")
    parameters["connect_args"] |= CLIENT
    return url, parameters


@contextmanager
def skip_connections() -> Iterator[None]:
    """Fail every connection to Presto at once, so that nothing waits for it."""
    token = _skip_connections.set(True)
    try:
        yield
    finally:
        _skip_connections.reset(token)


class KnownSymbols:
    """The table `symbols`, cached for SYMBOLS_MAX_AGE_SECONDS."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._lock = threading.Lock()
        self._symbols: list[Symbol] = []
        self._read_at = -float("inf")

    def __call__(self) -> list[Symbol]:
        """Return the symbols, or the last known ones; raise TemplateError when they were never read."""
        with self._lock:
            if time.monotonic() - self._read_at > SYMBOLS_MAX_AGE_SECONDS:
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
