"""Keeps a feed connected: one thread for each, which never gives up and tells what was missed."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from collector.connection import Connection, ConnectionLostError, RejectedError, SilentError
from collector.inbox import Figures, Inbox
from collector.journal import JournalFolder
from collector.message import Event
from common.identity import Source

log = logging.getLogger(__name__)

SILENCE_SECONDS = 150.0
STEADY_SECONDS = 60.0
JOIN_SECONDS = 5.0


@dataclass(frozen=True)
class Endpoint:
    """A feed to receive from.

    `source` is whose frames it sends; None is the feed service, which says so itself. `market` is the source
    whose data are missed while it is not connected; None is an endpoint that only relays.
    """

    name: str
    url: str
    token: SecretStr
    tickers: tuple[str, ...]
    source: Source | None
    market: Source | None
    first_delay: float = 1.0
    longest_delay: float = 60.0
    silence_seconds: float = SILENCE_SECONDS


class Receiver:
    """Connects, subscribes, receives, and connects again after ever longer pauses."""

    def __init__(
        self,
        endpoint: Endpoint,
        journals: JournalFolder,
        grown: Callable[[], None],
        tell: Callable[[Event], None],
    ) -> None:
        self.endpoint = endpoint
        self.connected = False
        self._problem: str | None = f"{endpoint.name} was not connected yet."
        self._inbox = Inbox(journals, endpoint.source, grown, self._answer, self._complain)
        self._tell = tell
        self._stopping = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name=endpoint.name, daemon=True)
        self._session = endpoint.name
        self._last_event_ms = 0
        self._last_frame = journals.last_receipt(endpoint.market) if endpoint.market else None
        self._connected_before = False
        self._complaints: set[str] = set()

    @property
    def figures(self) -> Figures:
        """Return what was counted since the process started."""
        return self._inbox.figures

    @property
    def problem(self) -> str | None:
        """Return in a sentence why nothing is received, if so."""
        return self._inbox.problem or self._problem

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Tell whether it still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Disconnect, write down what was received, and end."""
        self._stopping.set()
        self._inbox.stop()
        if self._connection is not None:
            self._connection.abort()
        self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        delay = self.endpoint.first_delay
        while not self._stopping.is_set():
            started = time.monotonic()
            self._connection = Connection(self._inbox.flush)
            try:
                self._connect(self._connection)
                self._receive(self._connection)
            except ConnectionLostError as lost:
                self._lost(lost)
            self.connected = False
            self._inbox.leave()
            self._connection.close()
            if time.monotonic() - started > STEADY_SECONDS:
                delay = self.endpoint.first_delay
            self._stopping.wait(delay * random.uniform(0.5, 1))  # noqa: S311
            delay = min(delay * 2, self.endpoint.longest_delay)
        self._inbox.close()

    def _connect(self, connection: Connection) -> None:
        endpoint = self.endpoint
        connection.open(endpoint.url, endpoint.token, endpoint.source is None, endpoint.silence_seconds)
        now = time.time()
        for ticker in endpoint.tickers:
            connection.send({"type": "subscribe", "symbol": ticker})
        self._session = f"{endpoint.name}-{int(now * 1000)}"
        self._complaints.clear()
        self._problem = None
        self.connected = True
        log.info("%s: connected, subscribed to %s", endpoint.name, ", ".join(endpoint.tickers))
        subscribed = f"{endpoint.name}: subscribed to {len(endpoint.tickers)} tickers."
        self._say("resubscribed" if self._connected_before else "connected", subscribed)
        if self._last_frame is not None:
            gap = max(now - self._last_frame, 0.0)
            self._say("gap", f"{endpoint.name}: nothing was received for {gap:.1f} s.", gap)
        self._last_frame = now
        self._connected_before = True

    def _receive(self, connection: Connection) -> None:
        while not self._stopping.is_set():
            text = connection.receive()
            self._last_frame = time.time()
            self._inbox.take(text)

    def _lost(self, lost: ConnectionLostError) -> None:
        if self._stopping.is_set():
            return
        sentence = f"{self.endpoint.name}: {lost}."
        if isinstance(lost, RejectedError):
            self._complain(str(lost))
        elif sentence != self._problem:
            log.warning("%s Connecting again.", sentence)
        self._problem = sentence
        if isinstance(lost, SilentError):
            self._say("silent", sentence)
        if self.connected:
            self._say("disconnected", sentence)

    def _answer(self, frame: dict[str, object]) -> None:
        try:
            if self._connection is not None:
                self._connection.send(frame)
        except ConnectionLostError:
            log.debug("%s: an answer was lost with the connection", self.endpoint.name)

    def _complain(self, reason: str) -> None:
        """Tell what the feed does not want: once in a connection, and without the token."""
        endpoint = self.endpoint
        token = endpoint.token.get_secret_value()
        if token:
            reason = reason.replace(token, "***")
        if reason in self._complaints:
            return
        self._complaints.add(reason)
        tickers = endpoint.tickers
        last = f" Subscribed last was {tickers[-1]}, of {len(tickers)} tickers." if self.connected else ""
        detail = f"{endpoint.name}: {reason}.{last}"
        log.error("%s", detail)
        self._say("refused", detail)

    def _say(self, kind: str, detail: str, gap_seconds: float | None = None) -> None:
        if self.endpoint.market is not None:
            self._last_event_ms = max(time.time_ns() // 1_000_000, self._last_event_ms + 1)
            self._tell(Event(self._last_event_ms, self._session, kind, detail, gap_seconds))
