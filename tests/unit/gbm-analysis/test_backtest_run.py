"""Which forecasts of the past are tried, with which bars, and their figures; Spark is left out."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import SecretStr

from common.gbm.calibration import Segment
from gbm_analysis.backtest import History, Trial, judge, try_forecast
from gbm_analysis.backtest_run import _cut, _possible, summarise
from gbm_analysis.evaluation import figures, plain_verdict, verdict
from gbm_analysis.settings import GbmSettings

SETTINGS = GbmSettings(cassandra_gbm_analysis_password=SecretStr(""))
START = datetime(2026, 3, 2, tzinfo=UTC)
TIMES = [START + timedelta(minutes=20) * step for step in range(60)]


def history(symbol: str = "A", pause_hours: tuple[float, float] = (9, 10.5)) -> History:
    """Return 18 hours of bars with a pause in them."""
    steps = np.random.default_rng(len(symbol)).normal(0, 1e-4, 18 * 720)
    after = 5.0 * np.arange(len(steps))
    kept = (after < 3600 * pause_hours[0]) | (after >= 3600 * pause_hours[1])
    prices = 100 * np.exp(np.cumsum(steps))
    return History(symbol, "crypto", "24/7", Segment(START.timestamp() + after[kept], prices[kept]))


def tried(bars: History, times: list[datetime]) -> list[Trial]:
    trials = (try_forecast(SETTINGS, bars, at) for at in times)
    return [trial for trial in trials if isinstance(trial, Trial)]


def test_a_task_is_made_for_every_forecast_that_can_be_made_and_for_none_without_an_outcome() -> None:
    possible = _possible(SETTINGS, history(), TIMES)
    made = [trial.at for trial in tried(history(), TIMES)]
    assert len(made) > 30
    assert set(made) <= set(possible)
    late = [at for at in TIMES if at + timedelta(hours=1) > START + timedelta(hours=18)]
    paused = [at for at in TIMES if 8.1 < (at - START) / timedelta(hours=1) < 9.4]
    assert late
    assert paused
    assert not set(possible) & {*late, *paused}
    assert _possible(SETTINGS, history()._replace(bars=Segment(np.empty(0), np.empty(0))), TIMES) == []


@pytest.mark.parametrize("first", [0, 20, 40])
def test_bars_are_cut_without_a_change_of_any_forecast(first: int) -> None:
    chunk = _possible(SETTINGS, history(), TIMES[first : first + 8])
    cut = _cut(SETTINGS, history(), chunk)
    assert tried(cut, chunk) == tried(history(), chunk)
    assert len(cut.bars.times) < len(history().bars.times)


def test_figures_are_by_symbol_and_overall_with_the_plain_model_beside() -> None:
    judged = judge([*tried(history("A"), TIMES), *tried(history("BB"), TIMES)])
    result = summarise(judged)
    assert list(result["symbols"]) == ["A", "BB"]
    series = [[one for one in judged if one.trial.symbol == symbol] for symbol in ("A", "BB")]
    for name, group in {"overall": series, "A": series[:1], "BB": series[1:]}.items():
        shown = result["overall"] if name == "overall" else result["symbols"][name]
        for view, expected in ((verdict, shown), (plain_verdict, shown["plain"])):
            wanted = figures([[view(one.score, one.trial.model.spot) for one in run] for run in group])
            assert wanted is not None
            assert {key: value for key, value in expected.items() if key != "plain"} == asdict(wanted)
    assert result["overall"]["forecasts"] == len(judged)
    assert summarise([]) == {"overall": None, "symbols": {}}
