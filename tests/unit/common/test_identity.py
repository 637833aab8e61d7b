"""The names of journals and trades."""

import re
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.identity import (
    INDEX_DIGITS,
    JOURNAL_ID_PATTERN,
    LINE_DIGITS,
    MAX_TRADES_PER_MESSAGE,
    Source,
    journal_id,
    journal_source,
    journal_started_ms,
    trade_id,
    trade_id_range,
)

LAST_MS = 253_402_300_799_999
moments = st.integers(0, LAST_MS)
sources = st.sampled_from(get_args(Source))
places = st.tuples(
    moments, sources, st.integers(1, 10**LINE_DIGITS - 1), st.integers(0, 10**INDEX_DIGITS - 1)
)


def test_the_parts_of_a_trade_id_have_fixed_widths() -> None:
    assert trade_id("20240808T120000123l", 42, 7) == "20240808T120000123l:0000000042:00007"
    assert trade_id("20240808T120000123l", 10**10 - 1, MAX_TRADES_PER_MESSAGE - 1).endswith(
        ":9999999999:99999"
    )


@pytest.mark.parametrize(("source", "letter"), [("live", "l"), ("demo", "d"), ("replay", "r")])
def test_a_journal_is_named_by_its_start_and_the_letter_of_its_source(source: Source, letter: str) -> None:
    assert journal_id(1_723_118_400_007, source) == f"20240808T120000007{letter}"


@given(places, places)
def test_trade_ids_sort_in_arrival_order(
    one: tuple[int, Source, int, int], other: tuple[int, Source, int, int]
) -> None:
    def name(place: tuple[int, Source, int, int]) -> str:
        started, source, line, index = place
        return trade_id(journal_id(started, source), line, index)

    def order(place: tuple[int, Source, int, int]) -> tuple[int, str, int, int]:
        started, source, line, index = place
        return started, journal_id(0, source), line, index

    assert (name(one) < name(other)) == (order(one) < order(other))


@given(moments, sources)
def test_a_journal_id_tells_its_start_and_its_source(started_ms: int, source: Source) -> None:
    name = journal_id(started_ms, source)
    assert re.match(JOURNAL_ID_PATTERN, name)
    assert (journal_started_ms(name), journal_source(name)) == (started_ms, source)


def test_names_are_as_the_tables_have_them() -> None:
    assert journal_id(1_768_489_020_007, "live") == "20260115T145700007l"
    assert journal_id(0, "demo") == "19700101T000000000d"
    assert journal_id(LAST_MS, "replay") == "99991231T235959999r"
    assert trade_id("20260115T145700007l", 1, 0) == "20260115T145700007l:0000000001:00000"
    assert trade_id("20260115T145700007l", 9_999_999_999, 99_999) == "20260115T145700007l:9999999999:99999"
    assert journal_started_ms("20260115T145700007l") == 1_768_489_020_007
    assert MAX_TRADES_PER_MESSAGE == 100_000


def test_only_whole_journal_ids_are_taken_for_one() -> None:
    for name in (
        "20260115T145700007x",
        "20260115T14570000l",
        "x20260115T145700007l",
        "20260115T145700007ll",
        "",
    ):
        assert not re.match(JOURNAL_ID_PATTERN, name)


@given(places, places)
def test_the_range_of_a_journal_holds_its_own_ids_and_no_other_journal_s(
    place: tuple[int, Source, int, int], other: tuple[int, Source, int, int]
) -> None:
    journal, other_journal = journal_id(*place[:2]), journal_id(*other[:2])
    lowest, highest = trade_id_range(journal)
    assert lowest <= trade_id(journal, *place[2:]) <= highest
    assert (lowest <= trade_id(other_journal, *other[2:]) <= highest) == (journal == other_journal)
