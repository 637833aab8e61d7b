"""What follows from the windows that a batch touches."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.identity import Source, journal_id, trade_id
from stream_processor.windows import (
    BAR,
    HOUR,
    Range,
    Selection,
    SymbolActivity,
    Window,
    WindowTrades,
    count_late,
    hour_of,
    neighbourhood,
    ranges,
    symbol_activity,
)

START = datetime(2024, 8, 8, 23, 59, 50, tzinfo=UTC)
HOUR_START = datetime(2024, 8, 8, 23, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def trades(count: int, first: float, last: float, source: Source = "live", line: int = 1) -> WindowTrades:
    return WindowTrades(count, at(first), at(last), trade_id(journal_id(0, source), line, 0))


def test_the_neighbourhood_is_the_bars_of_every_average_over_a_touched_window() -> None:
    found = neighbourhood([Window("A", at(0)), Window("A", at(5)), Window("B", at(100))])
    assert found == {
        *(Window("A", at(seconds)) for seconds in (-10, -5, 0, 5, 10, 15)),
        *(Window("B", at(seconds)) for seconds in (90, 95, 100, 105, 110)),
    }


def test_neighbouring_windows_of_a_symbol_and_hour_are_one_range() -> None:
    windows = [
        *(Window("A", at(seconds)) for seconds in (15, 0, 5, 10)),  # 23:59:50 to 00:00:10
        Window("A", at(25)),
        Window("B", at(30)),
    ]
    assert ranges(windows) == [
        Range("A", at(0), at(10)),
        Range("A", at(10), at(20)),
        Range("A", at(25), at(30)),
        Range("B", at(30), at(35)),
    ]


@given(st.sets(st.tuples(st.sampled_from("AB"), st.integers(0, 2000))))
def test_ranges_hold_the_windows_and_no_other(places: set[tuple[str, int]]) -> None:
    windows = {Window(symbol, at(5 * number)) for symbol, number in places}
    found = ranges(windows)
    held = [
        Window(one.symbol, one.start + BAR * number)
        for one in found
        for number in range((one.end - one.start) // BAR)
    ]
    assert len(held) == len(windows)
    assert set(held) == windows
    for one in found:
        last = one.end - BAR
        assert hour_of(one.start) == hour_of(last)


def test_a_selection_without_limits_is_every_hour_in_order() -> None:
    partitions = [("B", HOUR_START), ("A", HOUR_START + HOUR), ("A", HOUR_START)]
    assert Selection(frozenset(), None, None).ranges(partitions) == [
        Range("A", HOUR_START, HOUR_START + HOUR),
        Range("A", HOUR_START + HOUR, HOUR_START + 2 * HOUR),
        Range("B", HOUR_START, HOUR_START + HOUR),
    ]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 3600, (0, 3600)),
        (5, 10, (5, 10)),
        (1, 11, (5, 15)),  # a window belongs to a span by its start
        (-60, 3601, (0, 3600)),
        (3596, None, None),
        (None, 0, None),
        (None, 1, (0, 5)),
    ],
)
def test_a_selection_holds_the_windows_that_start_in_its_span(
    start: float | None, end: float | None, expected: tuple[int, int] | None
) -> None:
    limits = [None if one is None else HOUR_START + timedelta(seconds=one) for one in (start, end)]
    found = Selection(frozenset({"A"}), *limits).ranges([("A", HOUR_START), ("B", HOUR_START)])
    assert found == (
        []
        if expected is None
        else [Range("A", *(HOUR_START + timedelta(seconds=seconds) for seconds in expected))]
    )


def test_only_trades_of_known_windows_that_ended_over_a_minute_ago_are_late() -> None:
    touched = {
        Window("A", at(0)): trades(3, 0, 1),
        Window("A", at(5)): trades(40, 5, 6),
        Window("B", at(0)): trades(500, 0, 1),
    }
    known = [Window("A", at(0)), Window("A", at(5))]
    assert count_late(touched, known, now=at(65)) == 0
    assert count_late(touched, known, now=at(65.001)) == 3
    assert count_late(touched, known, now=at(71)) == 43
    assert count_late(touched, list(touched), now=at(71)) == 543


def test_a_symbols_activity_spans_its_windows_and_has_the_source_of_the_newest_receipt() -> None:
    touched = {
        Window("A", at(5)): trades(1, 6, 9, "demo", line=2),
        Window("A", at(0)): trades(1, 1, 2, "replay", line=3),
        Window("B", at(0)): trades(1, 0, 4, "live"),
        Window("A", at(10)): trades(1, 10, 10, "demo", line=1),
    }
    # The journals' ids differ by their letter only: "r" sorts behind "d".
    assert symbol_activity(touched) == [
        SymbolActivity("A", at(1), at(10), "replay"),
        SymbolActivity("B", at(0), at(4), "live"),
    ]


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1))
def test_an_extended_activity_never_shrinks(spans: list[tuple[int, int]]) -> None:
    first, *others = (SymbolActivity("A", at(min(span)), at(max(span)), "live") for span in spans)
    known = first
    for activity in others:
        known = activity._replace(source="demo").extended(known)
    assert (known.first, known.last) == (at(min(map(min, spans))), at(max(map(max, spans))))
    assert known.source == ("demo" if others else "live")
