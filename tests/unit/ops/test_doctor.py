import pytest

from ops.inspection.doctor import days_left


def test_days_left_follow_from_the_growth_so_far() -> None:
    day = 86_400.0
    assert days_left(free_bytes=100, data_bytes=10, age_seconds=day) == pytest.approx(10)
    assert days_left(free_bytes=100, data_bytes=10, age_seconds=60) is None
    assert days_left(free_bytes=100, data_bytes=0, age_seconds=day) is None
