"""What the queries count."""

from concurrent.futures import ThreadPoolExecutor

from stream_processor.queries import Counters


def test_counters_add_up_over_the_queries_threads() -> None:
    counters = Counters()
    with ThreadPoolExecutor(3) as pool:
        for _ in range(1000):
            pool.submit(counters.add, trades_stored=2, dead_lettered=1)
            pool.submit(counters.add, late=3)
    assert (counters.trades_stored, counters.dead_lettered, counters.late) == (2000, 1000, 3000)
