"""What the tables hold, as the job sees it."""

from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, Literal, NamedTuple

from common.gbm.mixture import Mixture
from gbm_analysis.evaluation import Figures
from gbm_analysis.scoring import Quantiles, Score

Scope = Literal["overall", "class", "symbol"]


class Symbol(NamedTuple):
    """A symbol that was received, and when it trades."""

    name: str
    calendar: str
    first_seen: datetime | None
    last_seen: datetime


class Target(NamedTuple):
    """A stored forecast of one target time."""

    time: datetime
    spot: float
    quantiles: Quantiles
    mean: float
    actual: float | None
    paths: int
    seconds: float
    volatility_seconds: float | None


class Outcome(NamedTuple):
    """What came of a forecast at its last target."""

    forecast_time: datetime
    target_time: datetime
    spot: float
    actual: float
    score: Score


class PastForecast(NamedTuple):
    """An earlier forecast: its model but for the spot, and its outcome where that is known."""

    forecast_time: datetime
    drift: float
    volatility: float
    seconds_per_year: float
    mixture: Mixture
    outcome: Outcome | None


class Judgement(NamedTuple):
    """Figures as forecast and of the plain model, over the forecasts from the first to the last time."""

    scope: Scope
    name: str
    first_forecast_time: datetime
    last_forecast_time: datetime
    figures: Figures
    plain: Figures

    @classmethod
    def columns(cls) -> list[str]:
        """Return the columns of a row."""
        names = [field.name for field in fields(Figures)]
        return [*cls._fields[:-2], *names, *(f"plain_{name}" for name in names if name not in _SHARED)]

    def row(self) -> tuple[Any, ...]:
        """Return the values of the columns."""
        plain = {name: value for name, value in asdict(self.plain).items() if name not in _SHARED}
        values = [*asdict(self.figures).values(), *plain.values()]
        return (*self[:-2], *(list(value) if isinstance(value, tuple) else value for value in values))


# Figures that do not depend on the model.
_SHARED = ("forecasts", "naive_crps")
