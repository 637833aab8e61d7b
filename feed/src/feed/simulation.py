"""A simulated market: prices that move together, and trades in bursts."""

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from common.frames import Trade
from common.instruments import Instrument
from common.symbols import AssetClass

YEAR_MS = 31_557_600_000
CORRELATION: dict[AssetClass, float] = {"stock": 0.55, "crypto": 0.75}
MEAN_BURST = 2.4
ACTIVITY_SPREAD = 0.6
ACTIVITY_MEMORY_MS = 120_000
MEAN_CRYPTO_VALUE = 700.0
ROUND_LOT = 100
ODD_LOTS = 0.3
TWIN = 0.04
ZERO_VOLUME = 0.002
NO_CONDITIONS = 0.03
CONDITIONS = (
    (("1",), 50),
    (("1", "8"), 10),
    (("1", "41"), 6),
    (("1", "24"), 12),
    (("1", "24", "41"), 2),
    (("1", "8", "24"), 2),
    (("1", "10"), 1),
    (("1", "9"), 1),
)


class Arrival(NamedTuple):
    """A trade and when it reaches the client (ms since the epoch); it was made a little earlier."""

    at: int
    trade: Trade


@dataclass
class _State:
    """One instrument: `time` is how far its price was followed, `burst` when trades come next (ms)."""

    log_price: float
    time: float
    burst: float
    log_activity: float = 0.0


class Simulation:
    """A market that is followed from one moment to the next, always forward."""

    def __init__(
        self,
        known: Mapping[str, Instrument],
        seed: int | None = None,
        prices: Mapping[str, float] | None = None,
    ) -> None:
        self._known = known
        self._random = random.Random(seed)  # noqa: S311
        self._prices = {symbol: one.price for symbol, one in known.items()} | dict(prices or {})
        self._states: dict[str, _State] = {}

    @property
    def prices(self) -> dict[str, float]:
        """Return the last price of every instrument that was followed."""
        return {symbol: math.exp(state.log_price) for symbol, state in self._states.items()}

    def advance(self, start: int, end: int, symbols: Iterable[str]) -> list[Arrival]:
        """Follow the market through [start, end) ms and return its trades in order of arrival."""
        common = {kind: self._random.gauss(0, 1) for kind in CORRELATION}
        arrivals: list[Arrival] = []
        for symbol in symbols:
            instrument = self._known[symbol]
            state = self._states.get(symbol)
            if state is None:
                state = self._states[symbol] = _State(math.log(self._prices[symbol]), start, start)
                state.burst = start + self._pause(instrument, state)
            state.burst = max(state.burst, start)
            self._move(instrument, state, end, common[instrument.asset_class])
            while state.burst < end:
                self._trade(instrument, state, int(state.burst), arrivals)
                state.burst += self._pause(instrument, state)
        arrivals.sort(key=lambda arrival: arrival.at)
        return arrivals

    def _pause(self, instrument: Instrument, state: _State) -> float:
        """Return the ms until the next burst."""
        bursts_per_ms = instrument.trades_per_second / MEAN_BURST / 1000
        return self._random.expovariate(bursts_per_ms * math.exp(state.log_activity - ACTIVITY_SPREAD**2 / 2))

    def _move(self, instrument: Instrument, state: _State, end: int, common: float) -> None:
        """Let price and activity walk until `end`."""
        elapsed = end - state.time
        share = CORRELATION[instrument.asset_class]
        step = share * common + math.sqrt(1 - share**2) * self._random.gauss(0, 1)
        state.log_price += instrument.volatility * math.sqrt(elapsed / YEAR_MS) * step
        memory = math.exp(-elapsed / ACTIVITY_MEMORY_MS)
        spread = ACTIVITY_SPREAD * math.sqrt(1 - memory**2)
        state.log_activity = state.log_activity * memory + self._random.gauss(0, spread)
        state.time = end

    def _trade(self, instrument: Instrument, state: _State, at: int, arrivals: list[Arrival]) -> None:
        """Add a burst: one order that meets others, all in the same millisecond, moving the price its way."""
        draw = self._random
        side = 1 if draw.random() < 0.5 else -1
        made = at - int(draw.expovariate(1 / 60))
        price = math.exp(state.log_price)
        step = max(instrument.tick, price * 2e-5)
        offset = 0.5
        while True:
            quoted = price + side * offset * step
            ticks = max(round(quoted / instrument.tick), 1)
            trade: Trade = {
                "c": self._conditions(instrument),
                "p": round(ticks * instrument.tick, 10),
                "s": instrument.symbol,
                "t": made,
                "v": 0,
            }
            trade["v"] = self._volume(instrument, price, trade)
            if trade["c"] is None and draw.random() < NO_CONDITIONS:
                del trade["c"]
            arrivals.append(Arrival(at, trade))
            if draw.random() < TWIN:
                arrivals.append(Arrival(at, dict(trade)))
            if draw.random() > 1 - 1 / MEAN_BURST:
                return
            offset += draw.random() < 0.3

    def _conditions(self, instrument: Instrument) -> list[str] | None:
        if instrument.asset_class == "crypto":
            return None
        codes, weights = zip(*CONDITIONS, strict=True)
        return list(self._random.choices(codes, weights)[0])

    def _volume(self, instrument: Instrument, price: float, trade: Trade) -> float:
        """Draw a volume; a stock's is an odd lot, with its condition, or a few round lots."""
        draw = self._random
        if draw.random() < ZERO_VOLUME:
            return 0
        if instrument.asset_class == "crypto":
            wanted = MEAN_CRYPTO_VALUE / price * math.exp(draw.gauss(-0.6, 1.1))
            return round(max(round(wanted / instrument.lot), 1) * instrument.lot, 8)
        if draw.random() >= ODD_LOTS:
            return ROUND_LOT * math.ceil(draw.expovariate(1 / 2))
        if trade["c"] is not None:
            trade["c"].append("12")
        return draw.randrange(1, ROUND_LOT)
