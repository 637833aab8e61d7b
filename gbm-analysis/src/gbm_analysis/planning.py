"""What a symbol's bars allow: a calibrated model and the times to forecast, or the reason why not."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from common.bars import BAR_SECONDS
from common.gbm import Floats
from common.gbm.calibration import (
    Calibration,
    CalibrationError,
    Segment,
    calibrate,
    close_interval,
    closes,
)
from common.gbm.mixture import PLAIN, Mixture
from common.gbm.model import STEADY, Clock, Model
from common.gbm.profile import Profile
from common.gbm.simulation import times_ahead
from gbm_analysis.sessions import open_after, seconds_per_year, session_of
from gbm_analysis.settings import GbmSettings

Status = Literal["ok", "insufficient", "stale", "closed", "failed"]

MIN_SAMPLE = timedelta(minutes=15)
MAX_SPOT_AGE = timedelta(minutes=15)


@dataclass(frozen=True)
class Refusal:
    """Why there is no forecast."""

    status: Status
    reason: str


@dataclass(frozen=True)
class Plan:
    """What to simulate; sample times are the first bar's start and the last bar's end."""

    calibration: Calibration
    model: Model
    seconds: Floats
    seed: int
    sample_start: datetime
    sample_end: datetime


def market_closed(calendar: str, at: datetime) -> Refusal:
    """Say that and until when there is no trading."""
    return Refusal("closed", f"The market was closed; {calendar} opens at {_text(open_after(calendar, at))}.")


def plan_forecast(
    settings: GbmSettings,
    *,
    symbol: str,
    calendar: str,
    at: datetime,
    close: datetime,
    sample: Sequence[Segment],
    mixture: Mixture = PLAIN,
    profile: Profile | None = None,
) -> Plan | Refusal:
    """Calibrate from the bars of a sample (times in seconds since the epoch), and plan up to the `close`.

    A segment of the sample is of one session. With a `profile`, its prices are calibrated at the times of a
    day without a pattern, and the model's clock follows the pattern.
    """
    traded = [segment for segment in sample if len(segment.times)]
    length = timedelta(seconds=sum(float(times[-1] - times[0]) + BAR_SECONDS for times, _ in traded))
    if length < MIN_SAMPLE:
        return Refusal(
            "insufficient",
            f"Bars of {MIN_SAMPLE // timedelta(minutes=1)} minutes are needed, and the last "
            f"{settings.gbm_sample_hours:g} hours held {length.total_seconds() / 60:.1f}.",
        )
    start, end = _moment(traded[0].times[0]), _moment(traded[-1].times[-1] + BAR_SECONDS)
    if at - end > MAX_SPOT_AGE:
        return Refusal("stale", f"The last price was of {_text(end)}, over 15 minutes before the forecast.")
    rate = seconds_per_year(calendar)
    try:
        interval = close_interval(length.total_seconds())
        calibration = calibrate([_closes(calendar, segment, interval, profile) for segment in traded], rate)
    except CalibrationError as error:
        return Refusal("insufficient", f"The bars do not tell the volatility: {error}.")
    spot = float(traded[-1].prices[-1])
    horizon = min(settings.gbm_horizon_seconds, (close - at).total_seconds())
    seconds = times_ahead(horizon, settings.gbm_step_seconds)
    clock = _clock(calendar, at, seconds, profile)
    return Plan(
        calibration=calibration,
        model=Model(spot, calibration.drift, calibration.volatility, rate, mixture, clock),
        seconds=seconds,
        seed=seed_of(symbol, at),
        sample_start=start,
        sample_end=end,
    )


def seed_of(symbol: str, at: datetime) -> int:
    """Return the seed of a symbol's forecast: 48 bits, so that no reader of JSON rounds it."""
    return int.from_bytes(hashlib.sha256(f"{symbol} {at.isoformat()}".encode()).digest()[:6])


def _closes(calendar: str, segment: Segment, interval: float, profile: Profile | None) -> Segment:
    session = session_of(calendar, _moment(segment.times[0]))
    if profile is None or session is None:
        return closes(segment, interval)
    return profile.warp(closes(segment, interval), session.start.timestamp())


def _clock(calendar: str, at: datetime, seconds: Floats, profile: Profile | None) -> Clock:
    session = session_of(calendar, at)
    if profile is None or session is None:
        return STEADY
    return profile.clock(at.timestamp(), session.start.timestamp(), seconds)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
