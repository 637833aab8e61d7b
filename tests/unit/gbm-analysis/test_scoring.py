"""Actual prices, scores, and which symbols and hours are due."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from common.gbm.calibration import Segment
from common.gbm.mixture import Mixture
from common.gbm.model import Model
from gbm_analysis.job import UnknownSymbolError, choose_symbols
from gbm_analysis.records import Symbol
from gbm_analysis.scheduler import next_run
from gbm_analysis.scoring import Quantiles, actual_prices, closed_form_quantiles, score

NOW = datetime(2026, 11, 24, 15, 10, tzinfo=UTC)


def test_actual_is_the_last_bar_at_or_before_the_target_and_at_most_a_minute_old() -> None:
    bars = Segment(np.array([100.0, 105.0, 200.0]), np.array([1.0, 2.0, 3.0]))
    targets = np.array([99.0, 100.0, 104.9, 105.0, 165.0, 165.1, 199.0, 200.0, 261.0])
    nan = np.nan
    expected = [nan, 1.0, 1.0, 2.0, 2.0, nan, nan, 3.0, nan]
    np.testing.assert_array_equal(actual_prices(bars, targets), expected)


def test_no_bars_no_actual() -> None:
    assert np.isnan(actual_prices(Segment(np.empty(0), np.empty(0)), np.array([1.0, 2.0]))).all()


def test_score_of_a_forecast() -> None:
    model = Model(100.0, 0.0, 0.6, 31_557_600.0)
    found = score(model, 3600, Quantiles(98.0, 99.5, 100.0, 100.5, 102.0), 101.0)
    assert found.inside_90
    assert not found.inside_50
    assert found.absolute_error == 1.0
    assert found.naive_absolute_error == 1.0
    assert found.crps == model.crps(101.0, 3600)
    assert found.pit == model.pit(101.0, 3600)
    assert 0.5 < found.pit < 1


def test_a_score_compares_the_mixture_with_the_plain_model() -> None:
    plain = Model(100.0, 2.0, 0.6, 31_557_600.0)
    model = Model(100.0, 2.0, 0.6, 31_557_600.0, Mixture(3.0, 0.5, 40))
    found = score(model, 3600, closed_form_quantiles(model, 3600), 101.0)
    assert found.crps == model.crps(101.0, 3600) != plain.crps(101.0, 3600) == found.plain_crps
    assert found.pit == model.pit(101.0, 3600) != plain.pit(101.0, 3600) == found.plain_pit
    assert found.log_score == model.log_score(101.0, 3600)
    assert found.plain_log_score == plain.log_score(101.0, 3600)
    assert found.standardised == plain.standardised(101.0, 3600)


@pytest.mark.parametrize(
    "place, inside_50, inside_90",
    [(0.0, True, True), (0.67, True, True), (0.68, False, True), (1.64, False, True), (1.65, False, False)],
)
def test_the_plain_bands_are_central(place: float, inside_50: bool, inside_90: bool) -> None:
    model = Model(100.0, 0.0, 0.6, 31_557_600.0, Mixture(3.0, 0.5, 40))
    for side in (-1, 1):
        mean, deviation = model.plain.log_moments(3600)
        actual = float(np.exp(mean + side * place * deviation))
        found = score(model, 3600, Quantiles(0.0, 0.0, 100.0, 1e9, 1e9), actual)
        assert (found.plain_inside_50, found.plain_inside_90) == (inside_50, inside_90)


def test_quantiles_of_the_closed_form() -> None:
    model = Model(100.0, 2.0, 0.6, 31_557_600.0, Mixture(3.0, 0.5, 40))
    found = closed_form_quantiles(model, 3600)
    assert [model.pit(price, 3600) for price in found] == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95])


@pytest.mark.parametrize(
    "actual, inside_50, inside_90",
    [
        (97.99, False, False),
        (98.0, False, True),
        (99.49, False, True),
        (99.5, True, True),
        (100.5, True, True),
        (100.51, False, True),
        (102.0, False, True),
        (102.01, False, False),
    ],
)
def test_the_ends_of_an_interval_belong_to_it(actual: float, inside_50: bool, inside_90: bool) -> None:
    model = Model(100.0, 0.0, 0.6, 31_557_600.0)
    found = score(model, 3600, Quantiles(98.0, 99.5, 100.0, 100.5, 102.0), actual)
    assert (found.inside_50, found.inside_90) == (inside_50, inside_90)


KNOWN = [
    Symbol("OLD", "XNYS", None, NOW - timedelta(days=8)),
    Symbol("A", "24/7", None, NOW),
    Symbol("B", "XNYS", None, NOW),
]


def test_without_names_the_symbols_of_the_last_days_are_chosen() -> None:
    assert [symbol.name for symbol in choose_symbols(KNOWN, [], NOW)] == ["A", "B"]


def test_named_symbols_are_chosen_once_each() -> None:
    assert [symbol.name for symbol in choose_symbols(KNOWN, ["B", "OLD", "B"], NOW)] == ["B", "OLD"]


def test_an_unknown_symbol_is_refused_by_name() -> None:
    with pytest.raises(
        UnknownSymbolError, match=r"The symbol NOPE was never received; received were OLD, A, B\."
    ):
        choose_symbols(KNOWN, ["A", "NOPE"], NOW)
    with pytest.raises(UnknownSymbolError, match="nothing was received yet"):
        choose_symbols([], ["A"], NOW)


def test_the_next_run_follows_the_full_hour_or_soon_after_a_failure() -> None:
    assert next_run(NOW, succeeded=True) == datetime(2026, 11, 24, 16, 0, 20, tzinfo=UTC)
    assert next_run(NOW, succeeded=False) == NOW + timedelta(minutes=2)
    late = NOW.replace(minute=59, second=50)
    assert next_run(late, succeeded=False) == datetime(2026, 11, 24, 16, 0, 20, tzinfo=UTC)
