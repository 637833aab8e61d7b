"""The running figures by symbol, class and overall."""

from datetime import UTC, datetime, timedelta

import pytest

from gbm_analysis.judgement import judge_outcomes
from gbm_analysis.records import Judgement, Outcome
from gbm_analysis.scoring import Score

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def outcome(hour: int, *, inside_90: bool, crps: float, spot: float = 200.0) -> Outcome:
    score = Score(
        crps=crps,
        pit=0.25,
        inside_50=False,
        inside_90=inside_90,
        absolute_error=1.0,
        naive_absolute_error=2 * crps,
        log_score=3.0,
        standardised=1.0,
        plain_crps=4 * crps,
        plain_pit=0.95,
        plain_inside_50=False,
        plain_inside_90=False,
        plain_log_score=1.0,
    )
    at = START + hour * HOUR
    return Outcome(at, at + HOUR, spot, spot + 1, score)


def judged(outcomes: dict[str, list[Outcome]]) -> dict[tuple[str, str], Judgement]:
    return {(one.scope, one.name): one for one in judge_outcomes(outcomes)}


def test_symbols_make_up_their_class_and_all_together() -> None:
    found = judged(
        {
            "A": [outcome(0, inside_90=True, crps=1), outcome(1, inside_90=False, crps=3)],
            "X:B": [outcome(5, inside_90=True, crps=2)],
            "X:C": [],
        }
    )
    assert {key: one.figures.forecasts for key, one in found.items()} == {
        ("symbol", "A"): 2,
        ("symbol", "X:B"): 1,
        ("class", "stock"): 2,
        ("class", "crypto"): 1,
        ("overall", "all"): 3,
    }
    overall = found["overall", "all"]
    assert (overall.first_forecast_time, overall.last_forecast_time) == (START, START + 5 * HOUR)
    assert overall.figures.inside_90 == pytest.approx(2 / 3)
    assert overall.figures.crps == pytest.approx(2 / 200 * 1e4)
    assert overall.figures.skill == pytest.approx(0.5)
    assert overall.figures.pit_histogram == (0, 0, 3, 0, 0, 0, 0, 0, 0, 0)
    assert (overall.plain.inside_90, overall.plain.log_score) == (0, 1)
    assert overall.plain.skill == pytest.approx(-1)


def test_without_outcomes_there_is_nothing_to_judge() -> None:
    assert judged({"A": []}) == {}


def test_a_row_has_a_value_for_each_column() -> None:
    (one, *_) = judge_outcomes({"A": [outcome(0, inside_90=True, crps=1)]})
    row = dict(zip(one.columns(), one.row(), strict=True))
    assert (row["scope"], row["name"], row["forecasts"]) == ("overall", "all", 1)
    assert (row["inside_90"], row["plain_inside_90"]) == (1, 0)
    assert row["plain_pit_histogram"] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert "plain_forecasts" not in row
    assert "plain_naive_crps" not in row
