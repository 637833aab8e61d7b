"""The pauses between attempts."""

from collector.backoff import Backoff


def longest(low: float, high: float) -> float:
    assert (low, high) == (0.5, 1.0)
    return high


def test_pauses_double_up_to_the_longest_and_begin_anew() -> None:
    backoff = Backoff(1.0, 60.0, longest)
    assert [backoff.next() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert [backoff.next() for _ in range(2)] == [1, 2]


def test_chance_shortens_a_pause_by_up_to_a_half() -> None:
    backoff = Backoff(4.0, 60.0, lambda low, _: low)
    assert [backoff.next(), backoff.next()] == [2.0, 4.0]


def test_a_server_may_ask_for_more_but_not_for_less_nor_for_days() -> None:
    backoff = Backoff(8.0, 60.0, longest)
    assert backoff.next(at_least=3.0) == 8.0
    assert backoff.next(at_least=3600.0) == 3600.0
    assert backoff.next(at_least=1e9) == 21_600.0
    assert backoff.next() == 60.0
