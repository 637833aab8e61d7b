"""The page of the pipeline: services, Kafka's topics, their newest messages, what was refused, events."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from common.dead_letters import DeadLetter
from streamlit_pages import cached_queries, formats
from streamlit_pages.broker import BrokerUnavailableError, Message, Partition
from streamlit_pages.charts import batches_chart, latency_chart
from streamlit_pages.sections.header import header
from streamlit_pages.store import StoreUnavailableError, Symbol
from streamlit_pages.watch import LastHour, ServiceState, WatchUnavailableError

TITLE = "Pipeline"
ICON = "🛠️"
POSITION = 4

REFRESH_SECONDS = 5
SHOWN_MESSAGES = 20
EVENT_SPAN = timedelta(days=1)
ANY = "any"
CONTENT_CHARACTERS = 80
CHART = {"displayModeBar": False}
MEGABYTE = 1024**2


def draw() -> None:
    """Draw the page."""
    symbols = header(TITLE)
    _services()
    _topics()
    _messages(symbols)
    _dead_letters(symbols)
    _events()


def _or_sentence(show: Callable[[], None]) -> None:
    """Show something, or say which server does not answer; the page tries again by itself."""
    try:
        show()
    except (BrokerUnavailableError, StoreUnavailableError, WatchUnavailableError) as error:
        st.warning(
            f"{error} This page tries again every {REFRESH_SECONDS} seconds; `./market status` has details.",
            icon=":material/cloud_off:",
        )


@st.fragment(run_every=REFRESH_SECONDS)
def _services() -> None:
    st.subheader("Services", anchor=False, divider="gray")
    _or_sentence(_show_services)


def _show_services() -> None:
    found = cached_queries.last_hour()
    with st.container(key="services"):
        st.dataframe(
            [_service_row(service, found) for service in found.services],
            hide_index=True,
            height="content",
            column_config={"memory of the last hour": st.column_config.LineChartColumn(y_min=0)},
        )
    st.caption(
        f"As the watch saw them at {formats.moment(found.at)}. A dash is what it is not told: in containers "
        "most services' memory, which the command docker stats shows."
    )
    batches, latency = st.columns(2)
    with batches:
        st.markdown("**Time of a batch**, mean between two looks")
        with st.container(key="batches"):
            st.plotly_chart(
                batches_chart(found.looks), config=CHART, alt="Time of a batch by query, over the last hour."
            )
    with latency:
        st.markdown("**From receipt to stored**, of the trades between two looks")
        with st.container(key="latency"):
            st.plotly_chart(
                latency_chart(found.looks),
                config=CHART,
                alt="Time from receipt to stored, over the last hour.",
            )


def _service_row(service: ServiceState, found: LastHour) -> dict[str, Any]:
    since, least = (service.started, "") if service.started else (service.up_since, "at least ")
    return {
        "service": service.name,
        "state": {True: "up", False: "down", None: "starting"}[service.up],
        "running for": f"{least}{formats.duration((found.at - since).total_seconds())}" if since else "–",
        "restarts": service.restarts,
        "memory, MB": f"{service.memory / MEGABYTE:,.0f}" if service.memory is not None else "–",
        "memory of the last hour": [look.memory.get(service.name) for look in found.looks],
    }


@st.fragment(run_every=REFRESH_SECONDS)
def _topics() -> None:
    st.subheader("Topics", anchor=False, divider="gray")
    _or_sentence(_show_topics)


def _show_topics() -> None:
    partitions = cached_queries.partitions()
    columns = st.columns(4)
    columns[0].metric("Messages kept", formats.amount(sum(one.end - one.first for one in partitions)))
    columns[1].metric(
        "Lag of trades",
        _sum([one.trades_lag for one in partitions]),
        help="Messages whose trades are not stored yet.",
    )
    columns[2].metric(
        "Lag of bars",
        _sum([one.bars_lag for one in partitions]),
        help="Messages whose trades are not in bars yet.",
    )
    columns[3].metric(
        "Dead letters kept",
        formats.amount(sum(one.end - one.first for one in partitions if one.topic.endswith(".dead-letter"))),
    )
    with st.container(key="partitions"):
        st.dataframe([_partition_row(one) for one in partitions], hide_index=True)


def _partition_row(partition: Partition) -> dict[str, Any]:
    return {
        "topic": partition.topic,
        "partition": partition.number,
        "first offset": partition.first,
        "end offset": partition.end,
        "messages": partition.end - partition.first,
        "lag of trades": partition.trades_lag,
        "lag of bars": partition.bars_lag,
    }


def _sum(lags: list[int | None]) -> str:
    known = [lag for lag in lags if lag is not None]
    return formats.amount(sum(known)) if known else "–"


@st.fragment(run_every=REFRESH_SECONDS)
def _messages(symbols: tuple[Symbol, ...]) -> None:
    st.subheader("Newest messages", anchor=False, divider="gray")
    _or_sentence(lambda: _show_messages(symbols))


def _show_messages(symbols: tuple[Symbol, ...]) -> None:
    partitions = cached_queries.partitions()
    topics = list(dict.fromkeys(one.topic for one in partitions if not one.topic.endswith(".dead-letter")))
    first, second, third = st.columns(3)
    with first:
        topic = st.selectbox("Topic", topics, key="topic", bind="query-params") or topics[0]
    with second:
        numbers = [str(one.number) for one in partitions if one.topic == topic]
        number = st.selectbox("Partition", [ANY, *numbers], key="partition", bind="query-params") or ANY
    with third:
        symbol = _select_symbol("message-symbol", symbols)
    messages = cached_queries.messages(topic, None if number == ANY else int(number), symbol, SHOWN_MESSAGES)
    if not messages:
        st.caption("There is no such message.")
        return
    with st.container(key="messages"):
        event = st.dataframe(
            [_message_row(message) for message in messages],
            hide_index=True,
            key=f"messages {topic} {number} {symbol}",
            on_select="rerun",
            selection_mode="single-row",
        )
    rows = event.selection.rows
    message = messages[rows[0] if rows and rows[0] < len(messages) else 0]
    st.caption(f"Partition {message.partition}, offset {message.offset}; select a row to see another one.")
    headers, content = st.columns([1, 2])
    with headers:
        st.markdown("**Headers**")
        st.json(message.headers)
    with content:
        st.markdown("**Content**")
        if message.reason is None:
            st.json(message.content)
        else:
            st.text(f"{message.reason}: {message.content}")


def _message_row(message: Message) -> dict[str, Any]:
    return {
        "time": formats.moment(message.at),
        "partition": message.partition,
        "offset": message.offset,
        "ticker": message.key,
        "frame": message.headers.get("frame"),
        "content": message.reason or json.dumps(message.content)[:CONTENT_CHARACTERS],
    }


@st.fragment(run_every=REFRESH_SECONDS)
def _dead_letters(symbols: tuple[Symbol, ...]) -> None:
    st.subheader("Dead letters", anchor=False, divider="gray")
    symbol = _select_symbol("dead-letter-symbol", symbols)
    _or_sentence(lambda: _show_dead_letters(symbol))


def _show_dead_letters(symbol: str | None) -> None:
    letters = cached_queries.dead_letters(symbol, SHOWN_MESSAGES)
    if not letters:
        st.caption("Nothing was refused.")
        return
    with st.container(key="dead-letters"):
        st.dataframe([_letter_row(letter) for letter in letters], hide_index=True)
    st.caption(
        "The frame names a journal and the line in it, which holds what was received as it came; "
        "The command ./market dead-letters shows the same."
    )


def _letter_row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "time": letter.at,
        "ticker": letter.symbol,
        "reason": letter.reason,
        "frame": letter.frame,
        "content": letter.content[:CONTENT_CHARACTERS],
    }


@st.fragment(run_every=REFRESH_SECONDS)
def _events() -> None:
    st.subheader("Feed events of the last day", anchor=False, divider="gray")
    _or_sentence(_show_events)


def _show_events() -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    events = cached_queries.events(minute - EVENT_SPAN, minute + timedelta(minutes=1))
    if not events:
        st.caption("There was none.")
        return
    with st.container(key="events"):
        st.dataframe(
            [
                {
                    "time": formats.moment(event.at),
                    "kind": event.kind,
                    "detail": event.detail,
                    "seconds without the feed": event.gap_seconds,
                    "connection": event.session,
                }
                for event in reversed(events)
            ],
            hide_index=True,
        )


def _select_symbol(key: str, symbols: tuple[Symbol, ...]) -> str | None:
    names = [symbol.symbol for symbol in symbols]
    chosen = st.selectbox("Ticker", [ANY, *names], key=key, bind="query-params") or ANY
    return None if chosen == ANY else chosen
