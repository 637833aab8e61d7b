"""The clocks: wall time for what is written down, steady time for every duration."""

import time
from collections.abc import Callable
from dataclasses import dataclass


def uptime() -> float:
    """Return the seconds since the machine started, its sleep included; no change of the clock moves it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Clock:
    """`wall` is in seconds since the epoch, `steady` in seconds since the machine started."""

    wall: Callable[[], float] = time.time
    steady: Callable[[], float] = uptime
