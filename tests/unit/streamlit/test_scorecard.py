"""The scorecard of past forecasts, against figures by hand."""

import math

import numpy as np
import pytest

from forecast_example import MADE
from streamlit_pages.scorecard import PIT_BINS, scorecard
from streamlit_pages.store import Score


def test_scorecard_counts_and_compares() -> None:
    scores = [
        Score(MADE, 2.0, 0.55, True, True, 3.0, 4.0),
        Score(MADE, 1.0, 0.97, False, False, 5.0, 4.0),
        Score(MADE, 3.0, 1.0, False, True, 4.0, 2.0),
    ]
    card = scorecard(scores)
    assert card.forecasts == 3
    assert card.inside_50 == pytest.approx(1 / 3)
    assert card.inside_90 == pytest.approx(2 / 3)
    assert card.crps_ratio == pytest.approx(6 / 10)
    assert card.error_ratio == pytest.approx(12 / 10)
    assert card.pit_counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 0, 0, 2]


def test_scorecard_without_naive_error_has_no_ratio() -> None:
    assert math.isnan(scorecard([Score(MADE, 2.0, 0.5, True, True, 3.0, 0.0)]).crps_ratio)


def test_crps_is_its_mean_and_pit_bins_are_tenths() -> None:
    scores = [Score(MADE, 1.0, number / 10 + 0.05, True, True, 1.0, 0.5) for number in range(10)]
    card = scorecard([*scores, Score(MADE, 12.0, 0.0, True, True, 1.0, 0.5)])
    assert card.crps == pytest.approx(2.0)
    assert card.crps_ratio == pytest.approx(4.0)
    assert card.error_ratio == pytest.approx(2.0)
    assert card.pit_counts.tolist() == [2] + [1] * (PIT_BINS - 1)
    assert len(card.pit_counts) == 10


def test_a_tiny_naive_error_still_gives_ratios() -> None:
    card = scorecard([Score(MADE, 1e-9, 0.5, True, True, 2e-9, 1e-9)])
    assert (card.crps_ratio, card.error_ratio) == (pytest.approx(1.0), pytest.approx(2.0))


def test_no_naive_error_means_no_error_ratio_either() -> None:
    card = scorecard([Score(MADE, 2.0, 0.5, True, True, 3.0, 0.0)])
    assert np.isnan(card.error_ratio)
    assert card.crps == 2.0
