"""The forecasts' settings."""

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from common.settings import CassandraSettings, MetricsSettings
from common.spark import SparkSettings

MAX_STEPS = 1000


class GbmSettings(SparkSettings, CassandraSettings, MetricsSettings):
    """Where bars are, how much of them to learn from, and how far to look ahead."""

    cassandra_gbm_analysis_password: SecretStr
    gbm_driver_memory_mb: int = Field(default=512, ge=450)
    gbm_sample_hours: float = Field(default=6, ge=0.25, le=72)
    gbm_horizon_seconds: int = Field(default=3600, ge=1, le=604_800)
    gbm_step_seconds: int = Field(default=60, ge=1)
    gbm_paths: int = Field(default=100_000, ge=1000, le=10_000_000)
    gbm_model: Literal["mixture", "plain"] = "mixture"

    @field_validator("gbm_step_seconds")
    @classmethod
    def _divide_horizon(cls, step: int, info: ValidationInfo) -> int:
        horizon = info.data.get("gbm_horizon_seconds", step)
        if not step <= horizon <= step * MAX_STEPS:
            raise PydanticCustomError("steps", f"a horizon of {horizon} s has from 1 to {MAX_STEPS} steps")
        return step
