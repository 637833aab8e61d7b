"""How fast the data grows, from sizes that were noted every hour, and how long the disk lasts."""

import json
from pathlib import Path

from common.files import replace_text

HOUR = 3600.0
KEPT_SECONDS = 7 * 86_400.0
# The growth of less than an hour is mostly the first files.
LEAST_SECONDS = HOUR


def file(home: Path) -> Path:
    """Return where the sizes are noted."""
    return home / "data" / "watch" / "sizes.json"


def read_sizes(home: Path) -> list[tuple[float, float]]:
    """Return the noted times and sizes, the oldest first; none where there are none that can be read."""
    try:
        return [(float(at), float(size)) for at, size in json.loads(file(home).read_text())]
    except (OSError, ValueError, TypeError):
        return []


def note_size(home: Path, now: float, size: float) -> None:
    """Note a size, an hour after the last one."""
    sizes = [(at, noted) for at, noted in read_sizes(home) if now - KEPT_SECONDS <= at <= now]
    if not sizes or now - sizes[-1][0] >= HOUR:
        replace_text(file(home), json.dumps([*sizes, (now, size)]))


def days_left(home: Path, now: float, size: float, free: float) -> float | None:
    """Return how many days the disk lasts if the data grows on as lately; None where it is not known to."""
    sizes = read_sizes(home)
    if not sizes or now - sizes[0][0] < LEAST_SECONDS or size <= sizes[0][1]:
        return None
    at, before = sizes[0]
    return free / ((size - before) / (now - at)) / 86_400
