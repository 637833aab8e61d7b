"""What the command line understands, and the horizon of a backtest."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from gbm_analysis.command import ArgumentError, parse_time, with_horizon
from gbm_analysis.settings import MAX_STEPS, GbmSettings

SETTINGS = GbmSettings(cassandra_gbm_analysis_password=SecretStr("secret"))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T14:30", datetime(2026, 1, 31, 14, 30, tzinfo=UTC)),
        ("2026-01-31T14:30:00+02:00", datetime(2026, 1, 31, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, moment: datetime) -> None:
    assert parse_time("--from", text) == moment


@pytest.mark.parametrize("text", ["", "noon", "31.01.2026"])
def test_what_is_no_time_is_named_with_its_option(text: str) -> None:
    with pytest.raises(ArgumentError, match=f"^--to {text} was not a time such as 2026-01-31 "):
        parse_time("--to", text)


@pytest.mark.parametrize("horizon", [1, 30, 60, 3600, 86_400, 604_800])
def test_any_horizon_has_steps(horizon: int) -> None:
    found = with_horizon(SETTINGS, horizon)
    assert found.gbm_horizon_seconds == horizon
    assert 1 <= horizon / found.gbm_step_seconds <= MAX_STEPS
    assert found.cassandra_gbm_analysis_password == SETTINGS.cassandra_gbm_analysis_password


def test_without_a_horizon_the_settings_stay() -> None:
    assert with_horizon(SETTINGS, None) == SETTINGS


@pytest.mark.parametrize("horizon", [-1, 0, 604_801])
def test_an_impossible_horizon_is_one_sentence(horizon: int) -> None:
    with pytest.raises(
        ArgumentError, match=rf"^--horizon was {horizon}, but must be from 1 to 604800 seconds\.$"
    ):
        with_horizon(SETTINGS, horizon)
