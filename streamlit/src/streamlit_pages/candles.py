"""Bars as columns, and the candles they add up to."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.datetime64]
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Bars:
    """Bars in order of time, one array a column, all (bars,).

    `start` is datetime64[ms] in UTC. Prices are NaN where a window had none. `value_sum` and `value_volume`
    are price times volume and volume of the trades that count for a VWAP.
    """

    start: Times
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    value_sum: Floats
    value_volume: Floats
    trade_count: Counts

    def __len__(self) -> int:
        return len(self.start)

    def select(self, mask: NDArray[np.bool_]) -> Self:
        """Return the bars that `mask` (bars,) marks."""
        return type(self)(*(column[mask] for column in self.columns()))

    def columns(self) -> list[NDArray[Any]]:
        """Return the arrays in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]


def join(parts: Sequence[Bars]) -> Bars:
    """Return one or more stretches of bars, given in order of time, as one."""
    return Bars(
        *(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True))
    )


def aggregate(bars: Bars, seconds: int) -> Bars:
    """Return the candles of `seconds` each, labelled by their start; there is none where there was no bar.

    A candle takes its open from its first bar with a price and its close from the last one.
    """
    if not len(bars):
        return bars
    epoch, width = np.datetime64(0, "ms"), np.timedelta64(seconds * 1000, "ms")
    window = (bars.start - epoch) // width
    first = np.flatnonzero(np.diff(window, prepend=window[0] - 1))
    count = len(bars)
    priced, position = ~np.isnan(bars.close), np.arange(count)
    opening = np.minimum.reduceat(np.where(priced, position, count), first)
    closing = np.maximum.reduceat(np.where(priced, position, -1), first)
    has_price = closing >= 0
    return Bars(
        start=epoch + window[first] * width,
        open=np.where(has_price, bars.open[np.minimum(opening, count - 1)], np.nan),
        high=np.fmax.reduceat(bars.high, first),
        low=np.fmin.reduceat(bars.low, first),
        close=np.where(has_price, bars.close[closing], np.nan),
        volume=np.add.reduceat(bars.volume, first),
        value_sum=np.add.reduceat(bars.value_sum, first),
        value_volume=np.add.reduceat(bars.value_volume, first),
        trade_count=np.add.reduceat(bars.trade_count, first),
    )


def rolling_vwap(candles: Bars, window: int) -> Floats:
    """Return the VWAP over the last `window` candles at each candle; NaN where no volume counted."""
    value, volume = (_rolling_sum(column, window) for column in (candles.value_sum, candles.value_volume))
    average: Floats = np.divide(value, volume, out=np.full(len(candles), np.nan), where=volume > 0)
    return average


def vwap(bars: Bars) -> float:
    """Return the VWAP over all bars; NaN where no volume counted."""
    volume = float(bars.value_volume.sum())
    return float(bars.value_sum.sum()) / volume if volume > 0 else float("nan")


def closes(candles: Bars, seconds: int) -> tuple[Times, Floats]:
    """Return the ends and closes of the candles of `seconds` that have a price."""
    priced = np.isfinite(candles.close)
    return candles.start[priced] + np.timedelta64(seconds, "s"), candles.close[priced]


def break_at_gaps(times: Times, values: Floats, seconds: int) -> tuple[Times, Floats]:
    """Put a NaN where a line would cross a gap of more than `seconds`."""
    after = np.flatnonzero(np.diff(times) > np.timedelta64(seconds, "s")) + 1
    return np.insert(times, after, times[after - 1]), np.insert(values, after, np.nan)


def max_gap_seconds(seconds: int) -> int:
    """Return the seconds after which a line through candles of `seconds` ends: three candles or a minute."""
    return max(60, 3 * seconds)


def _rolling_sum(column: Floats, window: int) -> Floats:
    sums: Floats = np.convolve(column, np.ones(window))[: len(column)] if len(column) else column
    return sums
