"""What the workers return: sums, and errors that stay with their symbol."""

import numpy as np

from common.gbm.model import Model
from common.gbm.simulation import Tally, chunk_sizes, simulate, times_ahead
from gbm_analysis.tasks import SimulationError, Task, add_up, tally, tasks_of

MODEL = Model(100, 0, 0.6, 31_557_600)
SECONDS = times_ahead(300, 60)


def test_the_chunks_of_a_symbol_hold_its_paths() -> None:
    tasks = tasks_of("A", MODEL, SECONDS, 1, 10_000)
    assert [task.size for task in tasks] == chunk_sizes(10_000)
    assert [task.chunk for task in tasks] == [0, 1, 2]


def test_tallies_of_one_symbol_add_up() -> None:
    tasks = tasks_of("A", MODEL, SECONDS, 1, 9000) + tasks_of("B", MODEL, SECONDS, 2, 100)
    found = dict(add_up([*tally(tasks[:2]), *tally(tasks[2:])]))
    assert found.keys() == {"A", "B"}
    total = found["A"]
    assert isinstance(total, Tally)
    assert total.paths == 9000
    assert np.array_equal(total.counts, simulate(MODEL, SECONDS, 1, 9000).counts)


def test_an_error_is_the_result_of_its_symbol_alone() -> None:
    broken = Task("A", MODEL, SECONDS, -1, 1, 10)
    tasks = [*tasks_of("A", MODEL, SECONDS, 1, 100), broken, *tasks_of("B", MODEL, SECONDS, 2, 100)]
    found = dict(tally([*tasks, *tasks_of("A", MODEL, SECONDS, 1, 100)]))
    assert isinstance(found["A"], SimulationError)
    assert str(found["A"]).startswith("ValueError, ")
    assert isinstance(found["B"], Tally)
