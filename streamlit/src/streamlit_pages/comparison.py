"""Symbols side by side: their changes, how they move together, how wide their forecasts are."""

from collections.abc import Mapping, Sequence

import numpy as np

from streamlit_pages.candles import Bars, Floats, Times
from streamlit_pages.store import Forecast

MIN_RETURNS = 10


def changes(candles: Bars) -> tuple[Times, Floats]:
    """Return the times and closes of the candles that have a price, as fractions of change from the first."""
    priced = np.isfinite(candles.close)
    prices = candles.close[priced]
    return candles.start[priced], prices / prices[:1] - 1


def correlations(candles: Mapping[str, Bars]) -> Floats:
    """Return the correlations (symbols, symbols) of the log returns from candle to candle.

    A return is between two neighbouring candles; of two symbols those count that both have. NaN where fewer
    than MIN_RETURNS are common, or where a price never changed.
    """
    returns = [_returns(bars) for bars in candles.values()]
    result = np.full((len(returns), len(returns)), np.nan)
    for row, first in enumerate(returns):
        for column, second in enumerate(returns):
            shared = sorted(first.keys() & second.keys())
            if len(shared) >= MIN_RETURNS:
                pair = np.array([[first[time], second[time]] for time in shared]).T
                if np.all(pair.std(axis=1) > 0):
                    result[row, column] = np.corrcoef(pair)[0, 1]
    return result


def widths(forecasts: Sequence[Forecast]) -> tuple[Floats, Floats]:
    """Return the widths of the 50 % and of the 90 % band at the horizon, as fractions of the spot."""
    quantiles = np.array([forecast.quantiles[-1] / forecast.spot for forecast in forecasts]).reshape(-1, 5)
    return quantiles[:, 3] - quantiles[:, 1], quantiles[:, 4] - quantiles[:, 0]


def _returns(candles: Bars) -> dict[int, float]:
    if len(candles) < 2:
        return {}
    width = np.diff(candles.start).min()
    neighbours = np.diff(candles.start) == width
    with np.errstate(invalid="ignore"):
        logarithms = np.diff(np.log(candles.close))
    known = neighbours & np.isfinite(logarithms)
    times = candles.start[1:].astype(np.int64)
    return dict(zip(times[known].tolist(), logarithms[known].tolist(), strict=True))
