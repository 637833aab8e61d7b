"""Which settings of the forecasts are taken."""

import pytest
from pydantic import SecretStr, ValidationError

from gbm_analysis.settings import GbmSettings


def settings(**values: float) -> GbmSettings:
    return GbmSettings.model_validate({"cassandra_gbm_analysis_password": SecretStr("secret"), **values})


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("gbm_driver_memory_mb", 450, None),  # what Spark's own check asks for
        ("gbm_sample_hours", 0.25, 72),
        ("gbm_paths", 1000, 10_000_000),
        ("gbm_analysis_metrics_port", 1, 65_535),
    ],
)
def test_a_setting_has_its_bounds(name: str, least: float, most: float | None) -> None:
    assert getattr(settings(**{name: least}), name) == least
    with pytest.raises(ValidationError):
        settings(**{name: least - 1})
    if most is not None:
        assert getattr(settings(**{name: most}), name) == most
        with pytest.raises(ValidationError):
            settings(**{name: most + 1})


@pytest.mark.parametrize(
    ("horizon", "step", "is_taken"),
    [
        (1, 1, True),
        (0, 1, False),
        (1000, 1, True),
        (1001, 1, False),
        (60, 60, True),
        (59, 60, False),
        (604_800, 604_800, True),
        (604_801, 604_801, False),
        (604_800, 0, False),
    ],
)
def test_a_week_at_most_is_forecast_in_up_to_a_thousand_steps(
    horizon: int, step: int, is_taken: bool
) -> None:
    values = {"gbm_horizon_seconds": horizon, "gbm_step_seconds": step}
    if is_taken:
        assert settings(**values).gbm_horizon_seconds == horizon
    else:
        with pytest.raises(ValidationError):
            settings(**values)
