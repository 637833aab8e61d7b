"""Keeps a feed connected: one thread for each, which never gives up and reports what was missed."""

import logging
import math
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import SecretStr

from collector.activity import Activity, Change
from collector.backoff import Backoff
from collector.clock import Clock
from collector.complaints import Complaints
from collector.connection import Connection, ConnectionLostError, RejectedError
from collector.encoding import Event
from collector.journal import JournalFolder
from collector.last_seen import LastSeen
from collector.market_hours import MarketHours
from collector.router import Counters, Router
from collector.websocket_frames import Message
from common.identity import Source
from common.limits import MAX_FRAME_BYTES
from common.redaction import printable, redact
from common.symbols import calendar

log = logging.getLogger(__name__)

SILENCE_SECONDS = 150.0  # Finnhub sends a ping about once a minute: two are missing
STEADY_SECONDS = 60.0  # a connection that held this long was not refused
TICK_SECONDS = 1.0
TOO_MANY_SYMBOLS = "too many symbols"


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


class EventPublisher(Protocol):
    """Takes what happened to a feed, and is woken when a journal has more to publish."""

    def wake(self) -> None:
        """Look at the journals."""

    def publish_event(self, event: Event) -> None:
        """Publish a feed event."""


class Receiver:
    """Connects, subscribes, receives, and connects again after ever longer pauses.

    `wait` sleeps for so many seconds or until it is told to stop, and `uniform` draws the chance in a pause.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        journals: JournalFolder,
        publisher: EventPublisher,
        last_seen: LastSeen,
        *,
        clock: Clock | None = None,
        wait: Callable[[float], object] | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
        connect: Callable[[], Connection] = Connection,
    ) -> None:
        self.endpoint = endpoint
        self.connected = False
        self.connections = 0
        self.gap_seconds = 0.0
        self._hours = MarketHours()
        self.activity = Activity(self._hours)
        self._clock = clock or Clock()
        self._problem: str | None = f"{endpoint.name} was not connected yet."
        self._router = Router(journals, endpoint.source, self.activity, publisher.wake)
        self._publisher = publisher
        self._last_seen = last_seen
        self._stopping = threading.Event()
        self._wait = self._stopping.wait if wait is None else wait
        self._new_connection = connect
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name=endpoint.name, daemon=True)
        self._session = endpoint.name
        self._last_event_ms = 0
        self._backoff = Backoff(endpoint.first_delay, endpoint.longest_delay, uniform)
        self._complaints = {"refused": Complaints(), "oversized": Complaints()}
        self._wanted = self._subscribed = endpoint.tickers
        self._opened = self._last_frame = self._ticked = 0.0

    @property
    def counters(self) -> Counters:
        """Return what was counted since the process started."""
        return self._router.counters

    @property
    def problem(self) -> str | None:
        """Return in a sentence why nothing is received, if so."""
        return self._router.problem or self._problem

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Return whether it still runs."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Disconnect, write down what was received, and end; `join` waits for it."""
        self._stopping.set()
        self._router.stop()
        if self._connection is not None:
            self._connection.abort()

    def join(self, seconds: float) -> None:
        """Wait a limited time for the end."""
        self._thread.join(seconds)

    def set_tickers(self, tickers: tuple[str, ...]) -> None:
        """Subscribe to these tickers and no others, without a new connection."""
        self._wanted = tickers

    def _run(self) -> None:
        while not self._stopping.is_set():
            retry_seconds = None
            self._connection = self._new_connection()
            try:
                self._connect(self._connection)
                self._receive(self._connection)
            except ConnectionLostError as lost:
                self._lost(lost)
                retry_seconds = lost.retry_seconds
            if self.connected and self._clock.steady() - self._opened > STEADY_SECONDS:
                self._backoff.reset()
            self.connected = False
            self._router.disconnected()
            self._connection.close()
            if not self._stopping.is_set():
                self._wait(self._backoff.next(retry_seconds))
        self._router.close()

    def _connect(self, connection: Connection) -> None:
        endpoint = self.endpoint
        # Before anything comes that would have to wait for it.
        self._hours.load(self._calendars(self._wanted), self._clock.wall())
        connection.open(endpoint.url, endpoint.token, direct=endpoint.source is None)
        self._subscribed = self._wanted
        for ticker in self._subscribed:
            connection.send({"type": "subscribe", "symbol": ticker})
        now = self._clock.steady()
        self._session = f"{endpoint.name}-{int(self._clock.wall() * 1000)}"
        self._opened = self._last_frame = self._ticked = now
        self._problem = None
        self.connected = True
        self.connections += 1
        self.activity.forget_refusals()
        for ticker in self._subscribed:
            self._expect(ticker, now)
        log.info("%s: connected, subscribed to %s", endpoint.name, ", ".join(self._subscribed))
        self._publish(
            "connected" if self.connections == 1 else "resubscribed",
            f"subscribed to {len(self._subscribed)} tickers.",
        )
        if endpoint.market is not None:
            self._publish_gap(endpoint.market)
            self._last_seen.note(endpoint.market)

    def _receive(self, connection: Connection) -> None:
        while not self._stopping.is_set():
            messages = connection.receive()
            now = self._clock.steady()
            if messages:
                self._handle(messages, now)
            self._router.flush()
            for reply in self._router.take_replies():
                connection.send(reply)
            if now - self._last_frame >= self.endpoint.silence_seconds:
                self._publish("silent", f"no frame came for {self.endpoint.silence_seconds:g} s.")
                raise ConnectionLostError(f"no frame came for {self.endpoint.silence_seconds:g} s")
            if now - self._ticked >= TICK_SECONDS:
                self._ticked = now
                self._tick(connection, now)

    def _handle(self, messages: list[Message], now: float) -> None:
        received_ms = int(self._clock.wall() * 1000)
        data = [message.payload for message in messages if message.kind == "data"]
        for error in self._router.handle_messages(data, received_ms, now):
            self._complain("refused", error, now)
            if TOO_MANY_SYMBOLS in error.lower():
                self.activity.note_refusal(now)
        for message in messages:
            if message.kind == "oversized":
                self.counters.oversized += 1
                words = f"a frame of {message.size} bytes was dropped: at most {MAX_FRAME_BYTES} are taken"
                self._complain("oversized", words, now)
        self._last_frame = now
        if self.endpoint.market is not None:
            self._last_seen.note(self.endpoint.market)

    def _tick(self, connection: Connection, now: float) -> None:
        """Do what is due once a second."""
        if self._wanted != self._subscribed:
            self._change_tickers(connection, self._wanted, now)
        self._publish_changes(self.activity.changes(now, self._clock.wall()))
        for kind, complaints in self._complaints.items():
            for summary in complaints.due(now):
                self._publish(kind, f"{summary}.")

    def _change_tickers(self, connection: Connection, wanted: tuple[str, ...], now: float) -> None:
        added = [ticker for ticker in wanted if ticker not in self._subscribed]
        removed = [ticker for ticker in self._subscribed if ticker not in wanted]
        for ticker in removed:
            connection.send({"type": "unsubscribe", "symbol": ticker})
            self.activity.unsubscribe(ticker)
        for ticker in added:
            connection.send({"type": "subscribe", "symbol": ticker})
            self._expect(ticker, now)
        self._subscribed = wanted
        words = [f"added {', '.join(added)}"] * bool(added) + [f"removed {', '.join(removed)}"] * bool(
            removed
        )
        if words:
            log.info("%s: the tickers changed: %s", self.endpoint.name, "; ".join(words))
            self._publish("resubscribed", f"the tickers changed: {'; '.join(words)}.")

    def _calendars(self, tickers: Iterable[str]) -> set[str]:
        """Return the calendars of tickers; an endpoint that only relays misses none of their trades."""
        market = self.endpoint.market
        return {calendar(ticker, market) for ticker in tickers} if market is not None else set()

    def _expect(self, ticker: str, now: float) -> None:
        """Watch a ticker's trades; an endpoint that only relays has none of its own."""
        if self.endpoint.market is not None:
            self.activity.subscribe(ticker, calendar(ticker, self.endpoint.market), now)

    def _lost(self, lost: ConnectionLostError) -> None:
        if self._stopping.is_set():
            return
        words = self._shown(str(lost))
        sentence = f"{self.endpoint.name}: {words}."
        if isinstance(lost, RejectedError):
            self._complain("refused", words, self._clock.steady())
        elif sentence != self._problem:
            log.warning("%s Connecting again.", sentence)
        self._problem = sentence
        if self.connected:
            self._publish("disconnected", f"{words}.")

    def _complain(self, kind: Literal["refused", "oversized"], words: str, now: float) -> None:
        """Report what the feed does not want, or what is not wanted of it: once, and then its count."""
        words = self._shown(words)
        if self._complaints[kind].add(words, now):
            log.error("%s: %s.", self.endpoint.name, words)
            self._publish(kind, f"{words}.")

    def _publish_gap(self, market: Source) -> None:
        elapsed = self._last_seen.seconds_since(market)
        if elapsed is None:
            return
        if math.isnan(elapsed):
            self._publish("gap", "nothing was received for an unknown time: the clock was set back.")
            return
        now = self._clock.wall()
        missed = self._hours.open_seconds(self._calendars(self._subscribed), now - elapsed, now)
        if missed > 0:
            self.gap_seconds += missed
            closed = "" if missed == elapsed else f", {missed:.1f} s of them while a market was open"
            self._publish("gap", f"nothing was received for {elapsed:.1f} s{closed}.", missed)

    def _publish_changes(self, changes: list[Change]) -> None:
        for change in changes:
            if change.kind == "stale":
                words = f"{change.symbol} had no trade for {change.seconds:.0f} s, unlike in the hour before."
            elif change.kind == "resumed":
                words = f"{change.symbol} trades again after {change.seconds:.0f} s."
            else:
                continue
            self._publish(change.kind, words)
        muted = [change.symbol for change in changes if change.kind == "muted"]
        if muted:
            words = (
                f"{len(muted)} of {len(self._subscribed)} tickers never traded since the feed said that they "
                f"were too many: {', '.join(muted)}."
            )
            log.error("%s: %s", self.endpoint.name, words)
            self._publish("muted", words)

    def _shown(self, text: str) -> str:
        """Return a text of the feed without the token, on one line."""
        return printable(redact(text, [self.endpoint.token if self.endpoint.source else None]))

    def _publish(self, kind: str, words: str, gap_seconds: float | None = None) -> None:
        if self.endpoint.market is not None:
            self._last_event_ms = max(int(self._clock.wall() * 1000), self._last_event_ms + 1)
            detail = f"{self.endpoint.name}: {words}"
            self._publisher.publish_event(
                Event(self._last_event_ms, self._session, kind, detail, gap_seconds)
            )
