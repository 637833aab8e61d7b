"""What the scores of earlier forecasts teach; what needs stored bars is tested with Cassandra."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import SecretStr

from common.gbm.mixture import PLAIN, Mixture, learn
from gbm_analysis.learning import MIN_OUTCOMES, Knowledge
from gbm_analysis.records import Outcome, Symbol
from gbm_analysis.scoring import Score
from gbm_analysis.settings import GbmSettings

START = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
BITCOIN = Symbol("BINANCE:BTCUSDT", "24/7", START, START)
SETTINGS = GbmSettings(cassandra_gbm_analysis_password=SecretStr(""))
STANDARDISED = [0.5, -3.0, 0.2, 2.5, -0.1, 4.0, 0.3, -0.4] * 6


def outcome(hours: float, standardised: float | None, horizon: timedelta = HOUR) -> Outcome:
    score = Score(*[0.5] * len(Score._fields))._replace(standardised=cast(Any, standardised))
    at = START + hours * HOUR
    return Outcome(at, at + horizon, 100.0, 101.0, score)


def knowledge(outcomes: dict[str, Sequence[Outcome]], settings: GbmSettings = SETTINGS) -> Knowledge:
    """Return what these outcomes teach; neither Cassandra nor Spark is there to be asked."""
    return Knowledge(cast(Any, None), settings, cast(Any, None), [BITCOIN], outcomes)


def mixture(outcomes: dict[str, Sequence[Outcome]], at: datetime) -> Mixture:
    return knowledge(outcomes).mixture(BITCOIN, at)


def test_a_class_learns_from_the_outcomes_that_were_known() -> None:
    series = [outcome(hour, value) for hour, value in enumerate(STANDARDISED)]
    for known in (MIN_OUTCOMES, len(series)):
        assert mixture({BITCOIN.name: series}, series[known - 1].target_time) == learn(STANDARDISED[:known])


def test_symbols_of_a_class_learn_together_and_classes_apart() -> None:
    series = [outcome(hour, value) for hour, value in enumerate(STANDARDISED)]
    other = [outcome(hour, 2 * value) for hour, value in enumerate(STANDARDISED)]
    at = series[-1].target_time
    assert mixture({BITCOIN.name: series, "AAPL": other}, at) == learn(STANDARDISED)
    both = mixture({BITCOIN.name: series, "BINANCE:ETHUSDT": other}, at)
    assert both == learn([*STANDARDISED, *(2 * value for value in STANDARDISED)])


def test_overlapping_outcomes_count_as_the_time_that_they_cover() -> None:
    values = STANDARDISED * 3
    series = [outcome(quarter / 4, value) for quarter, value in enumerate(values)]
    learnt = mixture({BITCOIN.name: series}, series[-1].target_time)
    assert learnt == learn(values, [1.0] + [0.25] * (len(values) - 1))


def test_an_outcome_without_its_deviation_teaches_nothing() -> None:
    series = [outcome(hour, value) for hour, value in enumerate(STANDARDISED)]
    older = [outcome(hour, None) for hour in range(-10, 0)]
    assert mixture({BITCOIN.name: [*older, *series]}, series[-1].target_time) == learn(STANDARDISED)


def test_the_plain_model_learns_nothing_and_symbols_around_the_clock_have_no_profile() -> None:
    series = [outcome(hour, value) for hour, value in enumerate(STANDARDISED)]
    plain = knowledge({BITCOIN.name: series}, SETTINGS.model_copy(update={"gbm_model": "plain"}))
    assert plain.mixture(BITCOIN, series[-1].target_time) == PLAIN
    assert plain.profile(BITCOIN, series[-1].target_time) is None


@pytest.mark.parametrize("count", [0, MIN_OUTCOMES - 1])
def test_with_few_outcomes_forecasts_of_the_past_are_tried_instead(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = Mixture(3.0, 2.0, 7)
    monkeypatch.setattr(Knowledge, "_from_trials", lambda *_: tried)
    series = [outcome(hour, value) for hour, value in enumerate(STANDARDISED[:count])]
    assert mixture({BITCOIN.name: series}, START + 100 * HOUR) == tried
