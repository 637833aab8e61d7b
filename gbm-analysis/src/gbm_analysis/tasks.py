"""What Spark's workers do: draw chunks of paths and tally them; it imports no more than that takes."""

from collections.abc import Iterable
from typing import NamedTuple

from common.gbm import Floats
from common.gbm.model import Model
from common.gbm.simulation import Tally, chunk_sizes, simulate_chunk


class Task(NamedTuple):
    """One chunk of one symbol's paths."""

    symbol: str
    model: Model
    seconds: Floats
    seed: int
    chunk: int
    size: int


def tasks_of(symbol: str, model: Model, seconds: Floats, seed: int, paths: int) -> list[Task]:
    """Return the chunks of a symbol's simulation."""
    return [Task(symbol, model, seconds, seed, chunk, size) for chunk, size in enumerate(chunk_sizes(paths))]


def tally(tasks: Iterable[Task]) -> Iterable[tuple[str, Tally]]:
    """Simulate tasks and return one tally a symbol."""
    return add_up((task.symbol, simulate_chunk(*task[1:])) for task in tasks)


def add_up(tallies: Iterable[tuple[str, Tally]]) -> Iterable[tuple[str, Tally]]:
    """Return the sum of each symbol's tallies; it may take place in the first of them."""
    sums: dict[str, Tally] = {}
    for symbol, counts in tallies:
        if symbol in sums:
            sums[symbol] += counts
        else:
            sums[symbol] = counts
    return sums.items()
