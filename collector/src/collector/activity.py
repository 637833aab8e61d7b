"""Which subscribed symbols still trade: those that fall silent in an open market, those that never trade."""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from collector.market_hours import MarketHours

LEAST_STALE_SECONDS = 300.0
LONGEST_STALE_SECONDS = 3600.0
STALE_INTERVALS = 10  # trades at random times leave ten mean intervals empty once in 22,000
PACE_SECONDS = 3600.0
BUCKET_SECONDS = 60.0
MUTE_SECONDS = 300.0


class Change(NamedTuple):
    """A symbol that fell silent, trades again, or never traded; `seconds` is how long it was silent."""

    kind: Literal["stale", "resumed", "muted"]
    symbol: str
    seconds: float


@dataclass
class SymbolActivity:
    """One symbol's trades; all times are on the steady clock."""

    calendar: str
    subscribed: float
    trades: int = 0
    last_trade: float | None = None
    silent_since: float | None = None
    is_muted: bool = False
    _buckets: deque[tuple[float, int]] = field(default_factory=deque)
    _first_trade: float = 0.0

    def record(self, count: int, now: float) -> None:
        """Count trades."""
        if self.last_trade is None:
            self._first_trade = now
        self.trades += count
        self.last_trade = now
        bucket = now - now % BUCKET_SECONDS
        buckets = self._buckets
        if buckets and buckets[-1][0] == bucket:
            buckets[-1] = (bucket, buckets[-1][1] + count)
            return
        buckets.append((bucket, count))
        while buckets[0][0] < now - PACE_SECONDS:
            buckets.popleft()

    def stale_after(self) -> float:
        """Return how many seconds of silence are unusual, from the pace of the hour up to the last trade."""
        count = sum(trades for _, trades in self._buckets)
        if self.last_trade is None or count < 2:
            return LONGEST_STALE_SECONDS
        observed = min(self.last_trade - self._first_trade, PACE_SECONDS)
        return min(max(STALE_INTERVALS * observed / count, LEAST_STALE_SECONDS), LONGEST_STALE_SECONDS)


class Activity:
    """The subscribed symbols of one feed."""

    def __init__(self, hours: MarketHours) -> None:
        self._hours = hours
        self._refused_at: float | None = None
        self._began: float | None = None
        self.symbols: dict[str, SymbolActivity] = {}

    def subscribe(self, symbol: str, calendar: str, now: float) -> None:
        """Expect trades of a symbol from now on; what is known of it stays."""
        known = self.symbols.get(symbol)
        if self._began is None:
            self._began = now
        if known is None:
            self.symbols[symbol] = SymbolActivity(calendar, now)
        else:
            known.subscribed = now
            known.is_muted = False

    def unsubscribe(self, symbol: str) -> None:
        """Expect no more trades of a symbol."""
        self.symbols.pop(symbol, None)

    def forget_refusals(self) -> None:
        """Begin anew: another connection may accept other symbols."""
        self._refused_at = None

    def note_refusal(self, now: float) -> None:
        """Note that the feed refused symbols without naming them."""
        if self._refused_at is None:
            self._refused_at = now

    def record(self, symbol: str, count: int, now: float) -> None:
        """Count trades; those of a symbol that is not subscribed are ignored."""
        known = self.symbols.get(symbol)
        if known is not None:
            known.record(count, now)

    def missing_seconds(self, now: float, wall: float) -> float | None:
        """Return for how long no symbol has traded in an open market; None where nothing was subscribed.

        It may be called by another thread.
        """
        symbols = list(self.symbols.values())
        if self._began is None or not symbols:
            return None
        opened = [self._hours.opened_at(calendar, wall) for calendar in {known.calendar for known in symbols}]
        since = min((at for at in opened if at is not None), default=wall)
        traded = max(
            (known.last_trade for known in symbols if known.last_trade is not None), default=-math.inf
        )
        return max(now - max(self._began, traded, now - (wall - since)), 0.0)

    def changes(self, now: float, wall: float) -> list[Change]:
        """Return what changed since the last call; `wall` is the wall clock's time at `now`."""
        return [
            change
            for symbol, known in self.symbols.items()
            if (change := self._change(symbol, known, now, wall)) is not None
        ]

    def _change(self, symbol: str, known: SymbolActivity, now: float, wall: float) -> Change | None:
        traded = known.last_trade
        if traded is not None and known.silent_since is not None and traded > known.silent_since:
            seconds = traded - known.silent_since
            known.silent_since = None
            return Change("resumed", symbol, seconds)
        opened_at = self._hours.opened_at(known.calendar, wall)
        if opened_at is None or known.silent_since is not None or known.is_muted:
            return None
        since = max(known.subscribed, now - (wall - opened_at))
        if self._refused_at is not None and (traded is None or traded < known.subscribed):
            if now - max(since, self._refused_at) >= MUTE_SECONDS:
                known.is_muted = True
                return Change("muted", symbol, now - since)
            return None
        silent_since = since if traded is None else max(since, traded)
        if now - silent_since >= known.stale_after():
            known.silent_since = silent_since
            return Change("stale", symbol, now - silent_since)
        return None
