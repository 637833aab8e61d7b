"""The store behind a cache that all visitors share, so that many open pages cost as much as one."""

import logging
from datetime import UTC, datetime, timedelta

import streamlit as st

from common.cassandra import ERRORS, connect, explain_error
from common.dead_letters import DeadLetter
from common.settings import SettingsError
from streamlit_pages.broker import Broker, BrokerUnavailableError, Message, Partition
from streamlit_pages.candles import Bars, join
from streamlit_pages.settings import StreamlitSettings
from streamlit_pages.store import (
    Distribution,
    Event,
    Forecast,
    Gap,
    Judgement,
    Parameters,
    Score,
    Store,
    StoreUnavailableError,
    Symbol,
)
from streamlit_pages.watch import LastHour, WatchUnavailableError, read_last_hour

ROLE = "streamlit"
FORECAST_DAYS = 7

logging.getLogger("cassandra").setLevel(logging.ERROR)


@st.cache_data(ttl=3, show_spinner=False)
def symbols() -> tuple[Symbol, ...]:
    """Return every symbol, stocks first."""
    return _store().symbols()


def bars(symbol: str, start: datetime, last: datetime) -> Bars:
    """Return the bars from the hour of `start` on; those before the hour of `last` are cached longer."""
    first, hour = _hour(start), _hour(last)
    recent = _recent_bars(symbol, hour)
    return join([_settled_bars(symbol, first, hour), recent]) if first < hour else recent


@st.cache_data(ttl=10, show_spinner=False)
def parameters(symbol: str) -> tuple[Parameters, ...]:
    """Return the parameters of the forecasts of the last FORECAST_DAYS, newest first."""
    return _store().parameters(symbol, *_last_days())


@st.cache_data(ttl=10, max_entries=64, show_spinner=False)
def forecast(symbol: str, forecast_time: datetime) -> Forecast | None:
    """Return a forecast's prices."""
    return _store().forecast(symbol, forecast_time)


def newest_forecast(symbol: str) -> Forecast | None:
    """Return the prices of the newest forecast of a symbol, if there is one."""
    newest = next((row for row in parameters(symbol) if row.status == "ok"), None)
    return forecast(symbol, newest.forecast_time) if newest else None


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def distribution(symbol: str, forecast_time: datetime) -> Distribution:
    """Return the histogram of a forecast's terminal price."""
    return _store().distribution(symbol, forecast_time)


@st.cache_data(ttl=30, max_entries=64, show_spinner=False)
def scores(symbol: str) -> tuple[Score, ...]:
    """Return the scores of the forecasts of the last FORECAST_DAYS, oldest first."""
    return _store().scores(symbol, *_last_days())


@st.cache_data(ttl=30, show_spinner=False)
def judgements() -> tuple[Judgement, ...]:
    """Return how all forecasts fared, those of each asset class and those of each symbol."""
    return _store().judgements()


@st.cache_data(ttl=5, max_entries=64, show_spinner=False)
def gaps(start: datetime, end: datetime) -> tuple[Gap, ...]:
    """Return the feed's gaps that ended in [start, end)."""
    return _store().gaps(start, end)


@st.cache_data(ttl=5, show_spinner=False)
def events(start: datetime, end: datetime) -> tuple[Event, ...]:
    """Return the feed's events in [start, end), oldest first."""
    return _store().events(start, end)


@st.cache_data(ttl=5, show_spinner=False)
def partitions() -> tuple[Partition, ...]:
    """Return every partition of Kafka's topics."""
    return _broker().partitions()


@st.cache_data(ttl=5, max_entries=16, show_spinner=False)
def messages(topic: str, number: int | None, symbol: str | None, limit: int) -> tuple[Message, ...]:
    """Return the newest messages of a topic, newest first."""
    return _broker().newest(topic, number, symbol, limit)


@st.cache_data(ttl=5, max_entries=16, show_spinner=False)
def dead_letters(symbol: str | None, limit: int) -> tuple[DeadLetter, ...]:
    """Return the newest dead letters, newest first."""
    return _broker().dead_letters(symbol, limit)


@st.cache_data(ttl=5, show_spinner=False)
def last_hour() -> LastHour:
    """Return the states of the services and the looks of the last hour."""
    try:
        return read_last_hour(StreamlitSettings.load())
    except SettingsError as error:
        raise WatchUnavailableError(str(error)) from error


@st.cache_data(ttl=60, max_entries=64, show_spinner=False)
def _settled_bars(symbol: str, start: datetime, end: datetime) -> Bars:
    return _store().bars(symbol, start, end)


@st.cache_data(ttl=2, max_entries=64, show_spinner=False)
def _recent_bars(symbol: str, start: datetime) -> Bars:
    return _store().bars(symbol, start, start + timedelta(hours=2))


@st.cache_resource(show_spinner=False)
def _store() -> Store:
    """Connect once; a failed attempt is not cached, so the next read tries again."""
    try:
        settings = StreamlitSettings.load()
        return Store(connect(settings, ROLE, settings.cassandra_streamlit_password))
    except SettingsError as error:
        raise StoreUnavailableError(str(error)) from error
    except ERRORS as error:
        raise StoreUnavailableError(explain_error(error)) from error


@st.cache_resource(show_spinner=False)
def _broker() -> Broker:
    try:
        return Broker(StreamlitSettings.load())
    except SettingsError as error:
        raise BrokerUnavailableError(str(error)) from error


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _last_days() -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - timedelta(days=FORECAST_DAYS), now + timedelta(hours=1)
