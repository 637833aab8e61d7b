"""Numbers and times as people read them; all times are UTC."""

import math
from datetime import datetime

_DAYS_FROM = 2 * 86_400


def price(value: float | None) -> str:
    """Format a price with as many decimals as its size needs; a dash where there is none."""
    if value is None or math.isnan(value):
        return "–"
    decimals = 2 if abs(value) >= 10 else 4 if abs(value) >= 0.5 else 6
    return f"{value:,.{decimals}f}"


def percent(share: float, signed: bool = False) -> str:
    """Format a share as percent, with three digits that count."""
    if math.isnan(share):
        return "–"
    size = abs(share) * 100
    decimals = 1 if size >= 10 else 2 if size >= 0.1 or size == 0 else 4
    return f"{share * 100:{'+' if signed else ''},.{decimals}f} %"


def amount(value: float) -> str:
    """Format a count or a volume, short."""
    for size, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):,.1f} {unit}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.2f}"


def moment(time: datetime) -> str:
    """Format a time with its day."""
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def ago(time: datetime, now: datetime) -> str:
    """Format how long ago a time was; its day where that was days ago."""
    seconds = (now - time).total_seconds()
    return f"{duration(seconds)} ago" if seconds < _DAYS_FROM else f"{time:%Y-%m-%d}"


def duration(seconds: float) -> str:
    """Format a span of time in its largest unit that fits."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
