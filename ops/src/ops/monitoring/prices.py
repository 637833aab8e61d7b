"""Alerts about prices, which a user lists in `alerts.yaml` in the home."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from ops.monitoring.rules import Alert

if TYPE_CHECKING:  # the driver takes memory, which a watch without price alerts does not spend
    from cassandra.cluster import Session

FILE = "alerts.yaml"
# A price that is older says nothing about now.
FRESH = timedelta(minutes=5)
HELP = './market query "select * from cassandra.market.symbols"'


class PriceRule(BaseModel):
    """One line of the file: exactly one condition about a symbol."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: str
    above: float | None = None
    below: float | None = None
    moves_percent: float | None = Field(default=None, gt=0)
    minutes: float = Field(default=15, gt=0, le=1440)
    leaves_forecast: bool = False

    @model_validator(mode="after")
    def _one_condition(self) -> "PriceRule":
        wanted = (self.above, self.below, self.moves_percent, self.leaves_forecast or None)
        if sum(condition is not None for condition in wanted) != 1:
            raise ValueError("one of above, below, moves_percent and leaves_forecast was needed")
        return self


class Prices(NamedTuple):
    """A symbol's closes in a window, the newest last, and the 90 % band that was forecast for now, if any."""

    closes: Sequence[float]
    band: tuple[float, float] | None


class PriceStore(Protocol):
    """Knows prices."""

    def prices(self, symbol: str, start: datetime, now: datetime) -> Prices:
        """Return a symbol's prices of a window."""


class PriceFileError(Exception):
    """Say in one sentence what is wrong in the file."""


def load(home: Path) -> list[PriceRule]:
    """Return the rules of the home's file, none where there is no file; raise PriceFileError."""
    path = home / FILE
    try:
        return TypeAdapter(list[PriceRule]).validate_python(yaml.safe_load(path.read_text()) or [])
    except FileNotFoundError:
        return []
    except ValidationError as error:
        first = error.errors()[0]
        where = " ".join(map(str, first["loc"]))
        raise PriceFileError(f"{path} was wrong at {where or 'its beginning'}: {first['msg']}.") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise PriceFileError(f"{path} could not be read: {' '.join(str(error).split())}.") from None


def judge(rules: Sequence[PriceRule], store: PriceStore, now: datetime) -> Iterator[Alert]:
    """Yield an alert for each rule whose condition holds; an old price is none."""
    for rule in rules:
        window = max(timedelta(minutes=rule.minutes), FRESH)
        prices = store.prices(rule.symbol, now - window, now)
        if prices.closes and holds(rule, prices):
            condition = describe(rule)
            yield Alert(
                f"Price {rule.symbol} {condition}",
                "price",
                now.timestamp(),
                f"{rule.symbol} {condition}: {prices.closes[-1]:g}.",
                f"{FILE} asks for this.",
                HELP,
            )


def holds(rule: PriceRule, prices: Prices) -> bool:
    """Return whether a rule's condition holds for the newest price."""
    price = prices.closes[-1]
    if rule.above is not None:
        return price > rule.above
    if rule.below is not None:
        return price < rule.below
    if rule.moves_percent is not None:
        return any(abs(price / close - 1) * 100 >= rule.moves_percent for close in prices.closes)
    return prices.band is not None and not prices.band[0] <= price <= prices.band[1]


def describe(rule: PriceRule) -> str:
    """Return a rule's condition in words."""
    if rule.above is not None:
        return f"was above {rule.above:g}"
    if rule.below is not None:
        return f"was below {rule.below:g}"
    if rule.moves_percent is not None:
        return f"moved by {rule.moves_percent:g} % within {rule.minutes:g} minutes"
    return "left the 90 % band of its forecast"


class StoredPrices:
    """Reads bars and forecasts from Cassandra; every statement names its whole partition."""

    def __init__(self, session: "Session") -> None:
        self._session = session

    def prices(self, symbol: str, start: datetime, now: datetime) -> Prices:
        """Return a symbol's prices of a window; no closes where the newest is old."""
        bars = [
            bar
            for day in sorted({start.date(), now.date()})
            for bar in self._session.execute(
                "SELECT window_start, close FROM bars_5s "
                "WHERE symbol = %s AND day = %s AND window_start >= %s",
                (symbol, day, start),
            )
            if bar.close is not None
        ]
        if not bars or bars[-1].window_start.replace(tzinfo=UTC) < now - FRESH:
            return Prices([], None)
        return Prices([bar.close for bar in bars], self._band(symbol, now))

    def _band(self, symbol: str, now: datetime) -> tuple[float, float] | None:
        for day in sorted({now.date(), (now - timedelta(hours=1)).date()}, reverse=True):
            newest = self._session.execute(
                "SELECT forecast_time FROM gbm_forecasts WHERE symbol = %s AND day = %s "
                "ORDER BY forecast_time DESC LIMIT 1",
                (symbol, day),
            ).one()
            if newest is not None:
                row = self._session.execute(
                    "SELECT p05, p95 FROM gbm_forecasts "
                    "WHERE symbol = %s AND day = %s AND forecast_time = %s AND target_time >= %s LIMIT 1",
                    (symbol, day, newest.forecast_time, now),
                ).one()
                return (row.p05, row.p95) if row else None
        return None
