"""What Spark's workers do: draw chunks of paths and tally them; it imports no more than that takes."""

from collections.abc import Iterable
from typing import NamedTuple

from common.gbm import Floats
from common.gbm.model import Model
from common.gbm.simulation import Tally, chunk_sizes, simulate_chunk


class SimulationError(Exception):
    """Say why a symbol's paths could not be simulated."""


Result = Tally | SimulationError


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


def tally(tasks: Iterable[Task]) -> Iterable[tuple[str, Result]]:
    """Simulate tasks and return one result a symbol."""
    return add_up((task.symbol, _simulate(task)) for task in tasks)


def add_up(results: Iterable[tuple[str, Result]]) -> Iterable[tuple[str, Result]]:
    """Return the sum of each symbol's tallies, which may take place in the first of them; or what failed."""
    sums: dict[str, Result] = {}
    for symbol, result in results:
        total = sums.get(symbol)
        if isinstance(total, Tally) and isinstance(result, Tally):
            total += result
        elif total is None or isinstance(result, SimulationError):
            sums[symbol] = result
    return sums.items()


def _simulate(task: Task) -> Result:
    try:
        return simulate_chunk(*task[1:])
    except Exception as error:
        return SimulationError(f"{type(error).__name__}, {' '.join(str(error).split())}")
