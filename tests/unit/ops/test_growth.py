from pathlib import Path

import pytest

from ops.monitoring.growth import KEPT_SECONDS, days_left, note_size, read_sizes

DAY = 86_400.0


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "data" / "watch").mkdir(parents=True)
    return tmp_path


def test_days_left_follow_from_the_growth_since_the_oldest_size(home: Path) -> None:
    assert days_left(home, 0, 10, 100) is None
    note_size(home, 0, 10)
    assert days_left(home, 60, 20, 100) is None
    assert days_left(home, DAY, 20, 100) == pytest.approx(10)
    assert days_left(home, DAY, 10, 100) is None


def test_sizes_are_noted_once_an_hour_for_a_week(home: Path) -> None:
    for at in range(0, int(KEPT_SECONDS + DAY), 1800):
        note_size(home, at, at)
    times = [at for at, _ in read_sizes(home)]
    assert times == list(range(int(DAY - 1800 - 1800), int(KEPT_SECONDS + DAY), 3600))


def test_a_clock_that_was_set_back_forgets_the_sizes_of_the_future(home: Path) -> None:
    note_size(home, 10 * DAY, 5)
    note_size(home, DAY, 6)
    assert read_sizes(home) == [(DAY, 6)]


def test_a_file_that_cannot_be_read_has_no_sizes(home: Path) -> None:
    (home / "data" / "watch" / "sizes.json").write_text("[[1")
    assert read_sizes(home) == []
