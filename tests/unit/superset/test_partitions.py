"""The Jinja functions that pin a dashboard's SQL to partitions."""

import itertools
import re
import sqlite3
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment, TemplateError

from common.bars import BAR_SECONDS
from common.symbols import asset_class
from superset_dashboards.partitions import MAX_DAYS, MAX_POINTS, STEPS, Symbol, functions

NOW = datetime(2026, 3, 1, 0, 10, 7, 250_000)
SYMBOLS = [
    Symbol("MSFT", "stock", NOW - timedelta(hours=9)),
    Symbol("AAPL", "stock", NOW - timedelta(hours=8)),
    Symbol("BINANCE:BTCUSDT", "crypto", NOW - timedelta(seconds=1)),
]
moments = st.datetimes(datetime(2020, 1, 1), datetime(2026, 2, 20)).map(lambda at: at.replace(microsecond=0))


def render(text: str, known: list[Symbol] = SYMBOLS, **context: Any) -> str:
    environment = Environment()
    environment.globals |= functions(lambda: known, lambda: NOW)
    return environment.from_string("{{ " + text + " }}").render(context)


def where(column: str, operator: str, value: object) -> dict[str, object]:
    return {"col": column, "op": operator, "val": value}


def literals(text: str) -> list[datetime]:
    return [datetime.fromisoformat(literal) for literal in re.findall(r"'([^']+)'", text)]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (None, "('AAPL', 'BINANCE:BTCUSDT', 'MSFT')"),
        ([where("asset_class", "==", "stock")], "('AAPL', 'MSFT')"),
        ([where("symbol", "IN", ["MSFT"])], "('MSFT')"),
        ([where("asset_class", "==", "crypto"), where("symbol", "IN", ["MSFT"])], "(NULL)"),
        ([where("symbol", "IN", ["MSFT", "AAPL"]), where("symbol", "==", "AAPL")], "('AAPL')"),
        ([where("symbol", "IN", ["NEVER SEEN"])], "(NULL)"),
        ([where("symbol", "NOT IN", ["MSFT"])], "('AAPL', 'BINANCE:BTCUSDT', 'MSFT')"),
        ([where("window_start", "TEMPORAL_RANGE", "Last hour")], "('AAPL', 'BINANCE:BTCUSDT', 'MSFT')"),
    ],
)
def test_symbols_are_those_that_the_filters_leave(filters: Any, expected: str) -> None:
    assert render("symbols()", filter=filters) == expected


@pytest.mark.parametrize(
    ("places", "expected"),
    [([], "('AAPL') 1"), ([1], "('AAPL') 1"), ([2], "('MSFT') 2"), ([3], "(NULL) 3")],
)
def test_a_chart_of_one_ticker_shows_that_at_its_place_in_the_filter(
    places: list[int], expected: str
) -> None:
    filters = [where("asset_class", "==", "stock"), *(where("place", "==", place) for place in places)]
    assert render("symbol_at_place() }} {{ place()", filter=filters) == expected


def test_an_empty_store_reads_nothing() -> None:
    assert render("symbols()", known=[]) == "(NULL)"
    assert render("hours(latest=60)", known=[]).count("TIMESTAMP") == 1


def test_quotes_in_a_symbol_stay_inside_its_literal() -> None:
    odd = Symbol("A'); DROP--", "stock", NOW)
    assert render("symbols()", known=[odd]) == "('A''); DROP--')"


@given(moments, st.timedeltas(timedelta(seconds=1), timedelta(days=MAX_DAYS)))
def test_days_are_exactly_those_that_the_range_touches(begin: datetime, length: timedelta) -> None:
    end = begin + length
    found = literals(render("days()", from_dttm=begin.isoformat(), to_dttm=end.isoformat()))
    touched = {begin.date()} | {
        (begin + timedelta(hours=hour)).date()
        for hour in range(24 * 8)
        if begin + timedelta(hours=hour) < end
    }
    last = end - timedelta(microseconds=1)
    assert {at.date() for at in found} == touched | {last.date()}
    assert len(found) == len(set(found))


def test_a_range_longer_than_a_week_is_refused_in_a_sentence() -> None:
    with pytest.raises(TemplateError, match="The time range was 32 days long"):
        render("days()", from_dttm="2026-01-01T00:00:00", to_dttm="2026-02-02T00:00:00")


@given(moments, st.integers(1, 7 * 86_400))
def test_a_line_has_few_points_and_ends_with_a_whole_step(begin: datetime, seconds: int) -> None:
    context = {"from_dttm": begin.isoformat(), "to_dttm": (begin + timedelta(seconds=seconds)).isoformat()}
    step = int(render("step()", **context))
    assert step % 5 == 0
    assert seconds / step <= MAX_POINTS
    (end,) = literals(render("until(whole=true)", **context))
    assert (end - datetime(2000, 1, 1)) % timedelta(seconds=step) == timedelta(0)
    assert timedelta(0) <= begin + timedelta(seconds=seconds) - end < timedelta(seconds=step)


def test_the_future_is_not_asked_for() -> None:
    assert literals(render("until()", to_dttm="2027-01-01T00:00:00")) == [NOW]


def test_without_a_time_range_the_last_quarter_of_an_hour_counts() -> None:
    assert literals(render("since()")) == [NOW - timedelta(minutes=15)]
    assert render("days()") == "(DATE '2026-02-28', DATE '2026-03-01')"


def test_latest_trades_of_a_quiet_market_are_those_before_it_closed() -> None:
    stocks = {
        "filter": [where("asset_class", "==", "stock")],
        "from_dttm": (NOW - timedelta(days=1)).isoformat(),
        "to_dttm": NOW.isoformat(),
    }
    newest = NOW - timedelta(hours=8)
    (since,), (until,) = (literals(render(f"{name}(latest=120)", **stocks)) for name in ("since", "until"))
    assert since <= newest < until
    assert until - since == timedelta(seconds=120)
    assert literals(render("hours(latest=120)", **stocks)) == [
        newest.replace(minute=0, second=0, microsecond=0)
    ]


def test_latest_trades_of_a_live_market_are_not_cut_at_what_is_known() -> None:
    live = {"filter": [where("asset_class", "==", "crypto")]}
    assert literals(render("until(latest=120)", **live)) == [NOW]


def test_latest_trades_across_a_full_hour_are_read_from_both() -> None:
    before = NOW.replace(minute=0, second=30, microsecond=0)
    hours = literals(render("hours(latest=120)", to_dttm=before.isoformat()))
    assert hours == [datetime(2026, 2, 28, 23), datetime(2026, 3, 1, 0)]


def test_recent_days_end_today_whatever_the_range() -> None:
    chosen = {"from_dttm": "2020-01-01T00:00:00", "to_dttm": "2020-01-02T00:00:00"}
    assert render("recent_days(2)", **chosen) == "(DATE '2026-02-28', DATE '2026-03-01')"
    assert literals(render("ago(60)", **chosen)) == [NOW - timedelta(seconds=60)]


@given(st.text(max_size=20))
def test_the_asset_class_in_sql_is_that_of_its_definition(symbol: str) -> None:
    database = sqlite3.connect(":memory:")
    database.create_function("strpos", 2, lambda text, part: text.find(part) + 1)
    matched = re.fullmatch(r"IF\((.*), ('\w+'), ('\w+')\)", render("asset_class()"))
    assert matched
    condition, then, otherwise = matched.groups()
    sql = f"SELECT CASE WHEN {condition} THEN {then} ELSE {otherwise} END FROM (SELECT ? AS symbol)"
    assert database.execute(sql, (symbol,)).fetchone() == (asset_class(symbol),)
    database.close()


def test_steps_are_made_of_whole_bars() -> None:
    assert STEPS[0] == BAR_SECONDS
    assert all(longer > shorter for shorter, longer in itertools.pairwise(STEPS))
    assert all(step % BAR_SECONDS == 0 for step in STEPS)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (1, 5),
        (1800, 5),
        (1801, 10),
        (3601, 15),
        (5401, 30),
        (10_801, 60),
        (21_601, 120),
        (43_201, 300),
        (108_001, 600),
        (216_001, 1800),
        (648_001, 3600),
        (10**7, 3600),
    ],
)
def test_a_step_is_the_shortest_that_gives_few_points(seconds: int, expected: int) -> None:
    begin = datetime(2025, 1, 1)
    end = begin + timedelta(seconds=seconds)
    assert render("step()", from_dttm=begin.isoformat(), to_dttm=end.isoformat()) == str(expected)


def test_a_week_may_touch_eight_days() -> None:
    begin = {"from_dttm": "2026-01-01T12:00:00"}
    assert render("days()", to_dttm="2026-01-08T12:00:00", **begin).count("DATE") == 8
    with pytest.raises(TemplateError, match="9 days long, and at most 7 are shown"):
        render("days()", to_dttm="2026-01-09T12:00:00", **begin)


def test_times_are_written_in_milliseconds() -> None:
    assert render("until()") == "TIMESTAMP '2026-03-01 00:10:07.250'"


def test_a_range_holds_the_partitions_of_its_last_microsecond() -> None:
    end = {"to_dttm": "2026-02-20T01:00:00.000001"}
    assert literals(render("hours(latest=120)", known=[], **end)) == [
        datetime(2026, 2, 20, 0),
        datetime(2026, 2, 20, 1),
    ]
    midnight = {"from_dttm": "2026-02-19T12:00:00", "to_dttm": "2026-02-20T00:00:00.000001"}
    assert render("days()", **midnight) == "(DATE '2026-02-19', DATE '2026-02-20')"


def test_an_empty_range_has_no_hours() -> None:
    empty = {"from_dttm": "2026-02-20T01:00:00", "to_dttm": "2026-02-20T01:00:00"}
    assert render("hours(latest=60)", known=[], **empty) == "(NULL)"


@pytest.mark.parametrize(
    ("age_seconds", "expected"),
    [(119.999, NOW), (120, NOW - timedelta(seconds=120) + timedelta(milliseconds=1))],
)
def test_a_symbol_is_quiet_when_it_had_no_trade_for_the_whole_time(
    age_seconds: float, expected: datetime
) -> None:
    known = [Symbol("A", "stock", NOW - timedelta(seconds=age_seconds))]
    assert literals(render("until(latest=120)", known=known)) == [expected]
