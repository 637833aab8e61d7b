"""What a worker of Spark makes of its tasks."""

import logging
import pickle
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import SecretStr

from common.gbm.calibration import Segment
from gbm_analysis.backtest import History, Trial, try_forecast
from gbm_analysis.settings import GbmSettings
from gbm_analysis.trials import TrialTask, run_trials

SETTINGS = GbmSettings(cassandra_gbm_analysis_password=SecretStr(""))
START = datetime(2026, 3, 2, tzinfo=UTC)


def history(symbol: str = "A", hours: int = 12) -> History:
    steps = np.random.default_rng(1).normal(0, 1e-4, hours * 720)
    times = START.timestamp() + 5.0 * np.arange(len(steps))
    return History(symbol, "crypto", "24/7", Segment(times, 100 * np.exp(np.cumsum(steps))))


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def test_a_task_gives_its_forecasts_that_have_an_outcome_in_order() -> None:
    times = (at(7), at(8), at(12), at(30))
    task = TrialTask(SETTINGS, history(), times, (None,) * 4)
    trials = list(run_trials([pickle.loads(pickle.dumps(task))]))
    assert [trial.at for trial in trials] == [at(7), at(8)]
    assert trials == [try_forecast(SETTINGS, history(), moment) for moment in times[:2]]


def test_a_forecast_that_fails_costs_itself_alone(caplog: pytest.LogCaptureFixture) -> None:
    damaged = History("BAD", "crypto", "24/7", Segment(np.array([1.0, 2.0]), np.array([1.0])))
    tasks = [
        TrialTask(SETTINGS, damaged._replace(calendar="NOWHERE"), (at(7),), (None,)),
        TrialTask(SETTINGS, history("GOOD"), (at(7),), (None,)),
    ]
    with caplog.at_level(logging.WARNING):
        trials = list(run_trials(tasks))
    assert [(type(trial), trial.symbol) for trial in trials] == [(Trial, "GOOD")]
    [record] = caplog.records
    assert record.getMessage().startswith(f"The forecast of BAD at {at(7)} failed: ")
