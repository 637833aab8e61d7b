from collections.abc import Iterator

import pytest

from ops.data.stall_detector import NO_PROGRESS_SECONDS, REPEAT_SECONDS, REPORT_SECONDS, StallDetector
from ops.errors import MarketError


class Clock:
    """A clock that goes on only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr("ops.data.stall_detector.time", clock)
    yield clock


def test_a_wait_ends_when_nothing_moved_for_the_limit_and_not_before(clock: Clock) -> None:
    stall = StallDetector("Nothing was stored", lambda _: None)
    for figure in range(5):
        stall.update(figure, f"{figure} of 5")
        clock.now += NO_PROGRESS_SECONDS
        stall.update(figure, f"{figure} of 5")
        clock.now += 1
    stall.update(5, "5 of 9")
    clock.now += NO_PROGRESS_SECONDS + 0.1
    with pytest.raises(MarketError, match=r"^Nothing was stored for 120 s: 5 of 9\.$"):
        stall.update(5, "5 of 9")


def test_a_restart_counts_from_then_on(clock: Clock) -> None:
    stall = StallDetector("Nothing was stored", lambda _: None)
    stall.update(1, "1 of 9")
    clock.now += NO_PROGRESS_SECONDS
    stall.restart()
    clock.now += NO_PROGRESS_SECONDS
    stall.update(1, "1 of 9")
    clock.now += 0.1
    with pytest.raises(MarketError):
        stall.update(1, "1 of 9")


def test_progress_is_reported_at_times_and_the_same_line_less_often(clock: Clock) -> None:
    lines: list[str] = []
    stall = StallDetector("Nothing was stored", lines.append)
    stall.update(1, "1 of 9")
    assert lines == []
    clock.now += REPORT_SECONDS + 0.1
    stall.update(2, "2 of 9")
    assert lines == ["2 of 9 ..."]
    clock.now += REPORT_SECONDS + 0.1
    stall.update(2, "2 of 9")
    assert lines == ["2 of 9 ..."]
    clock.now += REPEAT_SECONDS
    stall.update(2, "2 of 9")
    assert lines == ["2 of 9 ..."] * 2
