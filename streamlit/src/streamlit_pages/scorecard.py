"""The accuracy of past forecasts, summarised."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamlit_pages.candles import Counts
from streamlit_pages.store import Score

PIT_BINS = 10


class Scorecard(NamedTuple):
    """Shares, means and the PIT histogram (PIT_BINS,) of some forecasts.

    The ratios compare CRPS and the median's error with the error of "the price stays", whose CRPS it also is:
    below 1 is better than that.
    """

    forecasts: int
    inside_50: float
    inside_90: float
    crps: float
    crps_ratio: float
    error_ratio: float
    pit_counts: Counts


def scorecard(scores: Sequence[Score]) -> Scorecard:
    """Summarise one or more scores."""
    crps, error, naive = (
        float(np.mean([getattr(score, name) for score in scores]))
        for name in ("crps", "absolute_error", "naive_absolute_error")
    )
    return Scorecard(
        forecasts=len(scores),
        inside_50=float(np.mean([score.inside_50 for score in scores])),
        inside_90=float(np.mean([score.inside_90 for score in scores])),
        crps=crps,
        crps_ratio=crps / naive if naive > 0 else float("nan"),
        error_ratio=error / naive if naive > 0 else float("nan"),
        pit_counts=np.histogram([score.pit for score in scores], bins=PIT_BINS, range=(0.0, 1.0))[0],
    )
