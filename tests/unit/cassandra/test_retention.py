import pytest

from cassandra_schema.retention import options

WINDOWED = {
    "class": "TimeWindowCompactionStrategy",
    "compaction_window_unit": "DAYS",
    "compaction_window_size": "1",
}
TIERED = {"class": "SizeTieredCompactionStrategy", "min_threshold": "4"}


@pytest.mark.parametrize(
    ("days", "window"), [(1, "1"), (30, "1"), (31, "1"), (60, "2"), (365, "12"), (0, "12")]
)
def test_windows_grow_with_the_time_rows_are_kept(days: int, window: str) -> None:
    wanted = options(days, WINDOWED)

    assert wanted.compaction == {**WINDOWED, "compaction_window_size": window}
    assert wanted.default_time_to_live == days * 86_400


def test_other_compaction_stays_as_it_is() -> None:
    assert options(365, TIERED).compaction == TIERED


def test_options_that_are_in_place_are_equal() -> None:
    wanted = options(365, WINDOWED)

    assert options(365, wanted.compaction) == wanted


def test_rows_kept_for_ever_have_no_time_to_live() -> None:
    wanted = options(0, WINDOWED)

    assert wanted.default_time_to_live == 0
    assert wanted.compaction["compaction_window_size"] == "12"
