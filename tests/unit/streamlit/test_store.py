"""What the pages read: columns that the schema has, whole partition keys, rows as arrays."""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import pytest
from cassandra import InvalidRequest, OperationTimedOut

from common.bars import BAR_SECONDS
from cql import read_tables
from streamlit_pages.store import Figures, Parameters, Store, StoreUnavailableError

TABLES = read_tables()
# As the driver returns times: without a zone.
AT = datetime(2026, 3, 4, 23, 59, 50)
START, END = AT.replace(tzinfo=UTC), AT.replace(tzinfo=UTC) + timedelta(seconds=60)


class Read(NamedTuple):
    """One query: its columns, its table, its conditions and their values."""

    columns: list[str]
    table: str
    conditions: str
    values: tuple[Any, ...]


class Session:
    """Answers each query on a table with the same rows, and keeps the queries."""

    def __init__(self, **rows: list[tuple[Any, ...]]) -> None:
        self.rows = rows
        self.reads: list[Read] = []

    def prepare(self, query: str) -> str:
        return query

    def execute(self, query: str, values: tuple[Any, ...], timeout: float) -> list[tuple[Any, ...]]:
        assert timeout <= 10
        parts = re.fullmatch(r"SELECT (.*) FROM (\w+) WHERE (.*)", query)
        assert parts
        self.reads.append(Read(parts[1].split(", "), parts[2], parts[3], values))
        return self.rows.get(parts[2], [])


def test_every_query_names_columns_of_the_schema_and_the_whole_partition_key() -> None:
    session = Session()
    store = Store(session)
    store.symbols()
    store.bars("AAPL", START, END)
    store.parameters("AAPL", START, END)
    store.forecast("AAPL", START)
    store.distribution("AAPL", START)
    store.scores("AAPL", START, END)
    store.gaps(START, END)
    store.judgements()
    assert len({read.table for read in session.reads}) == 8
    for read in session.reads:
        table = TABLES[read.table]
        assert set(read.columns) <= table.columns.keys(), read.table
        key = re.match(r"\(\((.*?)\)|\((\w+)", table.key)
        assert key
        partition = set((key[1] or key[2]).split(", "))
        assert partition <= set(re.findall(r"(\w+) (?:= \?|IN \?)", read.conditions)), read.table
        assert read.conditions.count("?") == len(read.values)


def test_judgements_hold_the_figures_of_both_models() -> None:
    forecast = {name: float(place) for place, name in enumerate(Figures._fields, 1)}
    plain = {f"plain_{name}": value + 100 for name, value in forecast.items()}
    row = {
        **plain,
        **forecast,
        "scope": "symbol",
        "name": "AAPL",
        "first_forecast_time": AT,
        "last_forecast_time": AT + timedelta(hours=1),
        "pit_histogram": [1, 2],
        "plain_pit_histogram": [3, 4],
    }
    session = Session()
    Store(session).judgements()
    columns = session.reads[0].columns
    overall = {**row, "scope": "overall", "name": "all"}
    session.rows["gbm_judgements"] = [tuple(one[name] for name in columns) for one in (row, overall)]
    first, second = Store(session).judgements()
    assert (first.scope, second.scope, second.name) == ("overall", "symbol", "AAPL")
    assert (second.first, second.last) == (
        AT.replace(tzinfo=UTC),
        AT.replace(tzinfo=UTC) + timedelta(hours=1),
    )
    own, other = second.forecast._asdict(), second.plain._asdict()
    assert own == {**forecast, "pit_histogram": (1, 2)}
    shared = {name: forecast[name] for name in ("forecasts", "naive_crps")}
    assert other == {name: value + 100 for name, value in forecast.items()} | shared | {
        "pit_histogram": (3, 4)
    }


def test_the_table_of_bars_is_that_of_the_bar_length() -> None:
    session = Session()
    Store(session).bars("AAPL", START, END)
    assert {read.table for read in session.reads} == {f"bars_{BAR_SECONDS}s"}


def test_bars_of_two_days_come_in_order_as_arrays() -> None:
    session = Session(bars_5s=[(AT, 1.0, 4.0, 0.5, None, 10.0, 20.0, 10.0, 3)])
    bars = Store(session).bars("AAPL", START, END)
    assert [read.values[1] for read in session.reads] == [date(2026, 3, 4), date(2026, 3, 5)]
    assert bars.start.tolist() == [AT, AT]
    assert (bars.open[0], bars.high[0], bars.low[0], bars.volume[0]) == (1.0, 4.0, 0.5, 10.0)
    assert (bars.value_sum[0], bars.value_volume[0], bars.trade_count[0]) == (20.0, 10.0, 3)
    assert np.isnan(bars.close[0])
    assert len(Store(Session()).bars("AAPL", START, END)) == 0


def test_symbols_are_sorted_with_stocks_first_and_times_in_utc() -> None:
    rows = [
        ("B:X", "crypto", "demo", AT, AT),
        ("MSFT", "stock", "demo", AT, AT),
        ("AAPL", "stock", "live", AT, AT),
    ]
    symbols = Store(Session(symbols=rows)).symbols()
    assert [symbol.symbol for symbol in symbols] == ["AAPL", "MSFT", "B:X"]
    assert {symbol.last_seen for symbol in symbols} == {START}


def test_scores_are_those_of_the_range_oldest_first() -> None:
    times = [AT + timedelta(seconds=seconds) for seconds in (60, 59, 0, -1)]
    rows = [(time, 1.0, 0.5, True, True, 1.0, 2.0) for time in times]
    scores = Store(Session(gbm_scores=rows)).scores("AAPL", START, END)
    assert [score.forecast_time for score in scores] == [START, START + timedelta(seconds=59)]


def test_parameters_are_those_of_the_range_newest_first() -> None:
    others = (None,) * (len(Parameters._fields) - 3)
    rows = [(AT + timedelta(seconds=seconds), "stale", "Old.", *others) for seconds in (-1, 0, 59, 60)]
    parameters = Store(Session(gbm_parameters=rows)).parameters("AAPL", START, END)
    assert [row.forecast_time for row in parameters] == [START + timedelta(seconds=59), START]
    assert parameters[0].reason == "Old."


def test_a_forecast_has_its_quantiles_means_outcomes_and_clock() -> None:
    rows = [
        (
            AT + timedelta(minutes=minute),
            100.0,
            500,
            1.0,
            2.0,
            3.0,
            4.0,
            5.0,
            3.5,
            None,
            None if minute == 1 else 7.0,
        )
        for minute in (1, 2)
    ]
    forecast = Store(Session(gbm_forecasts=rows)).forecast("AAPL", START)
    assert forecast
    assert (forecast.spot, forecast.paths, forecast.horizon) == (100.0, 500, 120.0)
    assert forecast.seconds.tolist() == [60.0, 120.0]
    assert forecast.quantiles.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0]] * 2
    assert forecast.mean.tolist() == [3.5, 3.5]
    assert np.isnan(forecast.actual).all()
    assert np.isnan(forecast.volatility_seconds).tolist() == [True, False]
    assert Store(Session()).forecast("AAPL", START) is None


def test_a_histogram_keeps_counts_whole() -> None:
    rows = [(1.0, 2.0, 0.25, 5), (2.0, 3.0, 0.75, 15)]
    histogram = Store(Session(gbm_distributions=rows)).distribution("AAPL", START)
    assert (histogram.low.tolist(), histogram.high.tolist()) == ([1.0, 2.0], [2.0, 3.0])
    assert (histogram.count.tolist(), histogram.density.tolist()) == ([5, 15], [0.25, 0.75])
    assert len(Store(Session()).distribution("AAPL", START).low) == 0


def test_gaps_are_the_events_with_a_length() -> None:
    later = AT + timedelta(seconds=30)
    rows = [
        (later, "s1", "gap", None, 20.0),
        (AT, "s1", "connected", "first", None),
        (AT, "s1", "gap", "silent", 5.0),
        (AT, "s2", "gap", None, None),
    ]
    gaps = Store(Session(feed_events=rows)).gaps(START, END)
    assert [(gap.end - gap.start).total_seconds() for gap in gaps] == [5.0, 20.0]
    assert [(gap.end, gap.detail) for gap in gaps] == [(START, "silent"), (START + timedelta(seconds=30), "")]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OperationTimedOut(), "Cassandra does not answer"),
        (InvalidRequest("Undefined column name x"), "Undefined column"),
    ],
)
def test_errors_are_sentences_that_tell_a_mistake_from_an_outage(error: Exception, sentence: str) -> None:
    class Failing(Session):
        def prepare(self, query: str) -> str:
            raise error

    with pytest.raises(StoreUnavailableError, match=sentence):
        Store(Failing()).symbols()
