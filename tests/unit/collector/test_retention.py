"""Which journals have to go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.journal import JournalLimits
from collector.retention import StoredJournal, expired_journals

DAY = 86_400.0
NOW = 100 * DAY
LIMITS = JournalLimits(
    rotate_bytes=100, rotate_seconds=60, retention_seconds=30 * DAY, retention_bytes=10**9, fsync=False
)


def stored(*ages: float, size: int = 10, removable: bool = True) -> list[StoredJournal]:
    """Return journals of some ages in days, oldest first."""
    return [
        StoredJournal(f"{number:03d}", size, NOW - age * DAY, removable) for number, age in enumerate(ages)
    ]


def expired(journals: list[StoredJournal], now: float = NOW, limits: JournalLimits = LIMITS) -> list[str]:
    return [journal.id for journal in expired_journals(journals, now, limits)]


def test_journals_older_than_the_retention_go() -> None:
    daily = stored(*range(40, -1, -1))
    assert expired(daily) == [f"{number:03d}" for number in range(10)]


def test_the_newest_journal_stays_whatever_its_age_and_size() -> None:
    assert expired(stored(99.0), limits=LIMITS._replace(retention_seconds=1, retention_bytes=1)) == []
    assert expired([]) == []


def test_a_clock_that_is_40_days_ahead_removes_nothing() -> None:
    journals = stored(5, 4, 3, 2, 1, 0)
    assert expired(journals, NOW + 40 * DAY) == []
    ahead = StoredJournal("006", 10, NOW + 40 * DAY, removable=True)
    assert expired([*journals, ahead], NOW + 40 * DAY + 3600) == []


def test_a_clock_that_was_set_back_removes_nothing() -> None:
    assert expired(stored(5, 4, 3, -40, -41)) == []


def test_a_pause_counts_for_two_days() -> None:
    journals = stored(90, *(28.5 - number for number in range(29)))
    assert expired(journals) == ["000"]
    assert expired(journals, limits=LIMITS._replace(retention_seconds=31 * DAY)) == []


def test_the_oldest_go_until_the_rest_is_small_enough() -> None:
    journals = stored(4, 3, 2, 1, 0)
    assert expired(journals, limits=LIMITS._replace(retention_bytes=50)) == []
    assert expired(journals, limits=LIMITS._replace(retention_bytes=49)) == ["000"]
    assert expired(journals, limits=LIMITS._replace(retention_bytes=30)) == ["000", "001"]


def test_unpublished_journals_stay() -> None:
    old = StoredJournal("000", 1000, 0, removable=False)
    journals = [old, *stored(2, 1, 0)[1:]]
    assert expired(journals, limits=LIMITS._replace(retention_bytes=500, retention_seconds=1)) == ["001"]


@given(
    st.lists(st.tuples(st.integers(0, 100), st.floats(0, 200), st.booleans()), max_size=10),
    st.integers(1, 500),
    st.floats(1, 100),
)
def test_no_more_goes_than_has_to(rows: list[tuple[int, float, bool]], most: int, days: float) -> None:
    journals = [
        StoredJournal(f"{number:03d}", size, at * DAY, removable)
        for number, (size, at, removable) in enumerate(rows)
    ]
    limits = LIMITS._replace(retention_bytes=most, retention_seconds=days * DAY)
    gone = expired_journals(journals, 200 * DAY, limits)
    kept = [journal for journal in journals if journal not in gone]
    assert all(journal.removable for journal in gone)
    assert journals[-1:] == kept[-1:]
    total = sum(journal.bytes for journal in kept)
    assert total <= most or not any(journal.removable for journal in kept[:-1])


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_the_last_moment_of_the_retention_is_kept(seconds: float) -> None:
    journals = stored(1, 0)
    limits = LIMITS._replace(retention_seconds=DAY - seconds)
    assert expired(journals, limits=limits) == (["000"] if seconds else [])
