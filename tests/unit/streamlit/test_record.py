"""The track record, against figures by hand and from polars."""

import json
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast_example import MADE, figures, judgement
from streamlit_pages.record import (
    BacktestError,
    Miss,
    coverage_verdict,
    describe,
    read_backtest,
    running,
    skill,
    worst_misses,
)
from streamlit_pages.store import Score


def score(number: int = 0, **changes: object) -> Score:
    made = MADE + timedelta(hours=number)
    return Score(made, 2.0, 0.5, True, True, 3.0, 4.0, 100.0, 101.0, 0.5, 2.5)._replace(**changes)


@pytest.mark.parametrize(
    ("inside", "p_value", "forecasts", "verdict"),
    [
        (0.95, 0.30, 20, "as it should be"),
        (0.95, 0.05, 20, "as it should be"),
        (0.99, 0.049, 20, "too wide"),
        (0.60, 0.001, 500, "too narrow"),
        (0.60, 0.001, 19, "too few to tell"),
    ],
)
def test_a_band_is_judged_by_the_test_of_its_coverage(
    inside: float, p_value: float, forecasts: int, verdict: str
) -> None:
    assert coverage_verdict(inside, 0.9, p_value, forecasts) == verdict


def test_a_short_record_says_that_it_tells_nothing() -> None:
    text = describe(judgement(figures(forecasts=19)))
    assert text.startswith("Of 19 scored forecasts, 87.6 % ended inside their 90 % band and 51.6 % inside")
    assert text.endswith("This record is too short to tell a good forecast from luck.")


def test_a_record_names_each_band_that_is_wrong() -> None:
    assert describe(judgement(figures())).endswith(
        "Chance explains the difference from 90 % and 50 % (Kupiec p = 0.32 and 0.68)."
    )
    one = describe(judgement(figures(inside_90=0.97, kupiec_90=0.001)))
    assert "Chance does not explain that: the 90% band is too wide (Kupiec p = 0.00 and 0.68)." in one
    both = figures(inside_90=0.7, kupiec_90=0.0, inside_50=0.3, kupiec_50=0.0)
    assert "the 90% band is too narrow and the 50% band is too narrow" in describe(judgement(both))


def test_skill_is_the_share_below_the_reference() -> None:
    assert skill(figures(crps=3.0), 4.0) == pytest.approx(0.25)
    assert skill(figures(crps=5.0), 4.0) == pytest.approx(-0.25)
    assert np.isnan(skill(figures(crps=5.0), 0.0))


@given(
    st.lists(
        st.tuples(
            st.floats(0.1, 9),
            st.floats(0.1, 9),
            st.floats(0.1, 9),
            st.floats(10, 1000),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_running_figures_are_those_of_all_forecasts_so_far(
    rows: list[tuple[float, float, float, float, bool, bool]],
) -> None:
    scores = [
        score(
            number,
            crps=own,
            naive_absolute_error=naive,
            plain_crps=plain,
            spot=spot,
            inside_50=a,
            inside_90=b,
        )
        for number, (own, naive, plain, spot, a, b) in enumerate(rows)
    ]
    record = running(scores)
    frame = pl.DataFrame(rows, schema=["own", "naive", "plain", "spot", "a", "b"], orient="row")
    for count in range(1, len(rows) + 1):
        part = frame.head(count)
        own, naive, plain = ((part[name] / part["spot"]).sum() for name in ("own", "naive", "plain"))
        assert record.naive_skill[count - 1] == pytest.approx(1 - own / naive)
        assert record.plain_skill[count - 1] == pytest.approx(1 - own / plain)
        assert record.inside_50[count - 1] == pytest.approx(part["a"].mean())
        assert record.inside_90[count - 1] == pytest.approx(part["b"].mean())
    assert record.times.tolist() == [one.forecast_time.replace(tzinfo=None) for one in scores]


def test_scores_of_an_early_version_count_for_the_bands_only() -> None:
    old = score(0, spot=None, actual=None, standardised=None, plain_crps=None, inside_90=False)
    record = running([old, score(1)])
    assert np.isnan(record.naive_skill[0])
    assert np.isnan(record.plain_skill[0])
    assert record.naive_skill[1] == pytest.approx(0.5)
    assert record.plain_skill[1] == pytest.approx(0.2)
    assert record.inside_90.tolist() == [0.0, 0.5]


def test_a_price_that_stayed_has_no_skill() -> None:
    record = running([score(0, naive_absolute_error=0.0)])
    assert np.isnan(record.naive_skill[0])
    assert record.plain_skill[0] == pytest.approx(0.2)


def test_the_worst_misses_are_the_farthest_in_either_direction() -> None:
    misses = [
        Miss("A", score(number, standardised=value)) for number, value in enumerate((0.5, -3.0, None, 2.0))
    ]
    assert [miss.score.standardised for miss in worst_misses(misses, 2)] == [-3.0, 2.0]
    assert len(worst_misses(misses, 10)) == 3


def test_a_backtest_is_read_with_its_symbols() -> None:
    entry = {
        **figures()._asdict(),
        "christoffersen_50": 0.5,
        "skill": None,
        "plain": figures(crps=60.0)._asdict(),
    }
    overall, symbol = read_backtest(json.dumps({"overall": entry, "symbols": {"AAPL": entry}}))
    assert (overall.scope, overall.name, symbol.scope, symbol.name) == ("overall", "all", "symbol", "AAPL")
    assert symbol.forecast == figures()
    assert symbol.plain.crps == 60.0
    assert overall.first is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        "null",
        "{}",
        '{"overall": 3, "symbols": {}}',
        '{"overall": {"plain": 1}, "symbols": []}',
    ],
)
def test_another_file_is_no_backtest(text: str) -> None:
    with pytest.raises(BacktestError, match="This file is not the result of a backtest"):
        read_backtest(text)
