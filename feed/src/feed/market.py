"""The simulated market on its clock, in the frames that Finnhub would send."""

import orjson

from common.frames import Trade
from feed.simulation import Simulation

TICK_MS = 200
FRAME_TRADES = 25


class Market:
    """The simulation and its clock (ms): it may start in the past, catches up, and then follows the time."""

    def __init__(self, simulation: Simulation, clock: int, is_live: bool) -> None:
        self.simulation = simulation
        self.is_live = is_live
        self._clock = clock

    def skip_to(self, now_ms: int) -> None:
        """Let the time pass in which nobody was connected."""
        if self.is_live:
            self._clock = max(self._clock, now_ms)

    def frames(self, now_ms: int, symbols: list[str]) -> list[str]:
        """Return the next frames: those of about one tick, or one large frame while catching up."""
        trades: list[Trade] = []
        while self._clock + TICK_MS <= now_ms and len(trades) < FRAME_TRADES:
            end = self._clock + TICK_MS
            trades += (arrival.trade for arrival in self.simulation.advance(self._clock, end, symbols))
            self._clock = end
        self.is_live = self._clock + TICK_MS > now_ms
        return [encode_frame(trades[at : at + FRAME_TRADES]) for at in range(0, len(trades), FRAME_TRADES)]


def encode_frame(trades: list[Trade]) -> str:
    """Return a frame's text as Finnhub writes it."""
    return orjson.dumps({"data": trades, "type": "trade"}).decode()
