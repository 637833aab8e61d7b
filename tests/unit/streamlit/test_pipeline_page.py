"""The Pipeline page as Streamlit draws it, from a broker and a store in memory."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from common.dead_letters import DeadLetter
from forecast_example import MADE
from page_example import NAME, ExampleStore, metrics, page, texts, traces
from streamlit_pages import cached_queries
from streamlit_pages.broker import BrokerUnavailableError, Message, Partition
from streamlit_pages.store import Event, StoreUnavailableError
from streamlit_pages.watch import LastHour, Look, ServiceState, WatchUnavailableError

LETTER = DeadLetter(
    "2026-03-04T15:00:00.000+00:00", NAME, "p was not above 0", 1, "journal:7", None, 7, 3, None, '{"p":0}'
)
LOOKS = tuple(
    Look(
        MADE + timedelta(minutes=minute),
        {"trades": 0.4, "bars": 1.5},
        {"0.5": 0.7, "0.99": 1.9},
        {"feed": 4e7},
    )
    for minute in range(2)
)
WATCHED = LastHour(
    LOOKS[-1].at,
    (
        ServiceState("feed", True, MADE - timedelta(minutes=9), MADE, 1, 50 * 1024**2),
        ServiceState("presto", True, None, MADE - timedelta(minutes=4), 0, None),
        ServiceState("superset", False, None, None, 2, None),
        ServiceState("streamlit", None, None, None, 0, None),
    ),
    LOOKS,
)


class ExampleBroker:
    """Answers as `Broker` does."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.letters: tuple[DeadLetter, ...] = (LETTER,)

    def partitions(self) -> tuple[Partition, ...]:
        return (
            Partition("market", 0, 10, 1_510, 4, 40),
            Partition("market", 1, 0, 500, 1, None),
            Partition("market.events", 0, 0, 3, None, None),
            Partition("market.dead-letter", 0, 0, 1, None, None),
        )

    def newest(self, *arguments: Any) -> tuple[Message, ...]:
        self.asked.append(arguments)
        if arguments[1] == 1:
            return ()
        content = {"data": [{"p": 64_000.0}], "type": "trade"}
        return (
            Message(MADE, 0, 1_509, NAME, {"frame": "journal:9"}, content, None),
            Message(MADE, 0, 1_508, None, {}, "\\xff", "not readable (KeyError)"),
        )

    def dead_letters(self, symbol: str | None, limit: int) -> tuple[DeadLetter, ...]:
        return self.letters if symbol in (None, NAME) else ()


@pytest.fixture
def broker(store: ExampleStore, monkeypatch: pytest.MonkeyPatch) -> ExampleBroker:
    """Return a broker that the page reads, beside a store with one event."""
    now = datetime.now(UTC)
    store.event_rows = (Event(now, "s1", "gap", "reconnected", 3.5),)
    example = ExampleBroker()
    monkeypatch.setattr(cached_queries, "_broker", lambda: example)
    monkeypatch.setattr(cached_queries, "read_last_hour", lambda _: WATCHED)
    for name in ("CASSANDRA", "KAFKA"):
        monkeypatch.setenv(f"{name}_STREAMLIT_PASSWORD", "none")
    return example


@pytest.mark.usefixtures("broker")
def test_the_page_shows_topics_messages_dead_letters_and_events() -> None:
    app = page("pipeline")
    figures = metrics(app)
    assert figures["Messages kept"] == "2,004"
    assert (figures["Lag of trades"], figures["Lag of bars"]) == ("5", "40")
    assert figures["Dead letters kept"] == "1"
    _, topics, messages, letters, events = (table.value for table in app.dataframe)
    assert topics["messages"].tolist() == [1_500, 500, 3, 1]
    assert messages["ticker"].tolist()[0] == NAME
    assert messages["content"].tolist()[1] == "not readable (KeyError)"
    assert letters["reason"].tolist() == ["p was not above 0"]
    assert letters["frame"].tolist() == ["journal:7"]
    assert events["seconds without the feed"].tolist() == [3.5]
    assert "64000.0" in str([element.value for element in app.json])
    assert "journal:9" in str([element.value for element in app.json])


@pytest.mark.usefixtures("broker")
def test_the_page_shows_every_service_and_the_last_hour() -> None:
    app = page("pipeline")
    services = app.dataframe[0].value.set_index("service")
    assert services["state"].to_dict() == {
        "feed": "up",
        "presto": "up",
        "superset": "down",
        "streamlit": "starting",
    }
    assert services["running for"].tolist() == ["10 min", "at least 5 min", "–", "–"]
    assert services["restarts"].tolist() == [1, 0, 2, 0]
    assert services["memory, MB"].tolist() == ["50", "–", "–", "–"]
    assert list(services["memory of the last hour"]["feed"]) == [4e7, 4e7]
    assert traces(app) == [{"bars", "trades"}, {"50 % of trades", "99 % of trades"}]


def test_without_the_watch_the_page_says_so_and_shows_the_rest(
    broker: ExampleBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_watch(_: Any) -> None:
        raise WatchUnavailableError("The watch does not answer at 127.0.0.1:9106.")

    monkeypatch.setattr(cached_queries, "read_last_hour", no_watch)
    app = page("pipeline")
    [warning] = app.warning
    assert warning.value.startswith("The watch does not answer at 127.0.0.1:9106. This page tries again")
    assert len(app.dataframe) == 4
    monkeypatch.setenv("WATCH_METRICS_PORT", "none")
    assert "The setting WATCH_METRICS_PORT was wrong" in texts(page("pipeline"))


def test_messages_of_one_partition_and_ticker_can_be_asked_for(broker: ExampleBroker) -> None:
    app = page("pipeline")
    app = app.selectbox(key="message-symbol").select(NAME).run()
    assert broker.asked[-1][:3] == ("market", None, NAME)
    app = app.selectbox(key="partition").select("1").run()
    assert broker.asked[-1][:3] == ("market", 1, NAME)
    assert "There is no such message." in texts(app)
    app = app.selectbox(key="dead-letter-symbol").select(NAME).run()
    assert app.dataframe[-2].value["ticker"].tolist() == [NAME]
    page("pipeline", topic="market.events")
    assert broker.asked[-1][:3] == ("market.events", None, None)


def test_without_refusals_and_events_the_page_says_so(broker: ExampleBroker, store: ExampleStore) -> None:
    broker.letters, store.event_rows = (), ()
    shown = texts(page("pipeline"))
    assert "Nothing was refused." in shown
    assert "There was none." in shown


def test_a_server_that_does_not_answer_is_a_sentence_and_the_rest_is_shown(
    broker: ExampleBroker, store: ExampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_broker(*_: Any) -> None:
        raise BrokerUnavailableError("Kafka does not answer at 127.0.0.1:9092.")

    def no_store(*_: Any) -> None:
        raise StoreUnavailableError("Cassandra does not answer.")

    monkeypatch.setattr(broker, "partitions", no_broker)
    app = page("pipeline")
    warnings = [element.value for element in app.warning]
    assert [
        text.startswith("Kafka does not answer at 127.0.0.1:9092. This page tries") for text in warnings
    ] == [
        True,
        True,
    ]
    assert len(app.dataframe) == 3
    monkeypatch.setattr(store, "events", no_store)
    monkeypatch.setattr(store, "symbols", no_store)
    cached_queries.events.clear()
    cached_queries.symbols.clear()
    warnings = [element.value for element in page("pipeline").warning]
    assert warnings[-1].startswith("Cassandra does not answer. This page tries again every 5 seconds")
