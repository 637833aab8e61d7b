"""What the hourly service tells a monitoring system."""

import time
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gbm_analysis.metrics import Metrics
from gbm_analysis.outcome import RunOutcome


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_before_the_first_run_there_are_only_counters(tmp_path: Path) -> None:
    assert samples(Metrics(tmp_path)) == {
        ("market_gbm_runs_total", "succeeded"): 0,
        ("market_gbm_runs_total", "failed"): 0,
    }


def test_the_last_run_of_any_process_is_shown(tmp_path: Path) -> None:
    now = time.time()
    metrics = Metrics(tmp_path)
    RunOutcome(now, 12.5, forecast=5, refused=2, failed=1, newest_forecast=now - 100).write(tmp_path)
    found = samples(metrics)
    assert found["market_gbm_last_run_timestamp_seconds",] == pytest.approx(now)
    assert found["market_gbm_last_run_duration_seconds",] == 12.5
    assert found["market_gbm_last_run_symbols", "forecast"] == 5
    assert found["market_gbm_last_run_symbols", "refused"] == 2
    assert found["market_gbm_last_run_symbols", "failed"] == 1
    assert found["market_gbm_newest_forecast_age_seconds",] == pytest.approx(100, abs=60)


@pytest.mark.parametrize(("ahead", "ages"), [(None, []), (1000.0, [0.0])])
def test_the_newest_forecast_has_an_age_from_none_on(
    tmp_path: Path, ahead: float | None, ages: list[float]
) -> None:
    now = time.time()
    RunOutcome(now, 1.0, 0, 0, 0, newest_forecast=None if ahead is None else now + ahead).write(tmp_path)
    found = samples(Metrics(tmp_path))
    assert [age for (name, *_), age in found.items() if name.endswith("age_seconds")] == ages


def test_an_outcome_replaces_the_one_before_it(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    for symbols in (1, 2):
        RunOutcome(0.0, 1.0, forecast=symbols, refused=0, failed=0, newest_forecast=None).write(home)
    assert RunOutcome.read(home) == RunOutcome(0.0, 1.0, 2, 0, 0, None)
    assert len(list((home / "run").iterdir())) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"ended": 1}'])
def test_a_file_that_cannot_be_read_is_no_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "gbm-analysis-outcome.json").write_text(content)
    assert RunOutcome.read(tmp_path) is None


def test_a_failed_run_makes_the_service_unhealthy_until_one_succeeds(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path)
    assert metrics.health() is None
    metrics.count_run(succeeded=False)
    assert metrics.health() == "The last run failed; the log says why."
    metrics.count_run(succeeded=True)
    assert metrics.health() is None
    assert samples(metrics)["market_gbm_runs_total", "failed"] == 1
