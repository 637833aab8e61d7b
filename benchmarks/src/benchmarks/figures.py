"""Measured figures, and whether one got worse."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

REPETITIONS = 3

Better = Literal["higher", "lower"]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Figure:
    """One figure by its runs; `limit` is what its median must reach, or stay below where lower is better."""

    name: str
    unit: str
    runs: tuple[float, ...]
    better: Better = "higher"
    limit: float | None = None

    def __post_init__(self) -> None:
        if len(self.runs) < REPETITIONS:
            raise ValueError(f"{self.name} had {len(self.runs)} runs, but {REPETITIONS} are needed")

    @property
    def median(self) -> float:
        """Return the median of the runs."""
        return statistics.median(self.runs)

    @property
    def noise(self) -> float:
        """Return how far the runs lie apart, as a share of their median."""
        return (max(self.runs) - min(self.runs)) / abs(self.median) if self.median else 0.0

    @property
    def within_limit(self) -> bool:
        """Return whether the median is as good as it must be."""
        if self.limit is None:
            return True
        return self.median >= self.limit if self.better == "higher" else self.median <= self.limit

    def as_json(self) -> dict[str, Any]:
        """Return what a results file holds of it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "better": self.better,
            "limit": self.limit,
            "median": self.median,
            "runs": list(self.runs),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read what `as_json` returned."""
        return cls(value["name"], value["unit"], tuple(value["runs"]), value["better"], value["limit"])


def worse_by(new: Figure, old: Figure) -> float | None:
    """Return the share by which a figure got worse, or None where that is within the noise of its runs."""
    change = new.median / old.median - 1 if old.median else 0.0
    loss = -change if new.better == "higher" else change
    return loss if loss > max(new.noise, old.noise) else None


def repeat(measure: Callable[[], float], repetitions: int = REPETITIONS) -> tuple[float, ...]:
    """Return what `measure` returns, several times; one time before them does not count."""
    measure()
    return tuple(measure() for _ in range(repetitions))


def repeat_pair(
    own: Callable[[], float], peer: Callable[[], float], repetitions: int = REPETITIONS
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the runs of both, taken in turns, so that both see the machine in the same state."""
    own()
    peer()
    pairs = [(own(), peer()) for _ in range(repetitions)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
