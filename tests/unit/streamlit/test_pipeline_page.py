"""The Pipeline page as Streamlit draws it, from a broker and a store in memory."""

from datetime import UTC, datetime
from typing import Any

import pytest

from common.dead_letters import DeadLetter
from forecast_example import MADE
from page_example import NAME, ExampleStore, metrics, page, texts
from streamlit_pages import cached_queries
from streamlit_pages.broker import BrokerUnavailableError, Message, Partition
from streamlit_pages.store import Event, StoreUnavailableError

LETTER = DeadLetter(
    "2026-03-04T15:00:00.000+00:00", NAME, "p was not above 0", 1, "journal:7", None, 7, 3, None, '{"p":0}'
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
    return example


@pytest.mark.usefixtures("broker")
def test_the_page_shows_topics_messages_dead_letters_and_events() -> None:
    app = page("pipeline")
    figures = metrics(app)
    assert figures["Messages kept"] == "2,004"
    assert (figures["Lag of trades"], figures["Lag of bars"]) == ("5", "40")
    assert figures["Dead letters kept"] == "1"
    topics, messages, letters, events = (table.value for table in app.dataframe)
    assert topics["messages"].tolist() == [1_500, 500, 3, 1]
    assert messages["ticker"].tolist()[0] == NAME
    assert messages["content"].tolist()[1] == "not readable (KeyError)"
    assert letters["reason"].tolist() == ["p was not above 0"]
    assert letters["frame"].tolist() == ["journal:7"]
    assert events["seconds without the feed"].tolist() == [3.5]
    assert "64000.0" in str([element.value for element in app.json])
    assert "journal:9" in str([element.value for element in app.json])


def test_messages_of_one_partition_and_ticker_can_be_asked_for(broker: ExampleBroker) -> None:
    app = page("pipeline")
    app = app.selectbox(key="message-symbol").select(NAME).run()
    assert broker.asked[-1][:3] == ("market", None, NAME)
    app = app.selectbox(key="partition").select("1").run()
    assert broker.asked[-1][:3] == ("market", 1, NAME)
    assert "There is no such message." in texts(app)
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
    assert len(app.dataframe) == 2
    monkeypatch.setattr(store, "events", no_store)
    monkeypatch.setattr(store, "symbols", no_store)
    cached_queries.events.clear()
    cached_queries.symbols.clear()
    warnings = [element.value for element in page("pipeline").warning]
    assert warnings[-1].startswith("Cassandra does not answer. This page tries again every 5 seconds")
