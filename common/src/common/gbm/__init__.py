"""Geometric Brownian motion with uncertain volatility: calibration, closed form and simulation.

S(t) = S0 exp((drift - v / 2) t + sqrt(v) W(t)), where the variance v of a path is the calibrated one times
a random factor (`mixture`), or exactly the calibrated one (the plain model). Rates are per year of a model's
`seconds_per_year`; every `seconds` is a time ahead of the forecast.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
