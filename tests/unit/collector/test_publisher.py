"""The publisher while Kafka is away: the journal keeps everything, and nothing is taken for published."""

from pathlib import Path

from pydantic import SecretStr

from collector.journal import START, JournalFolder, JournalWriter
from collector.message import Event
from collector.publisher import Publisher
from collector.settings import CollectorSettings
from common.recording import Frame
from stack import free_ports, wait_until

TRADE = '{"data":[{"c":null,"p":1.5,"s":"AAPL","t":1,"v":1}],"type":"trade"}'


def test_a_kafka_that_is_away_costs_nothing_but_disk(tmp_path: Path) -> None:
    [port] = free_ports(1)
    settings = CollectorSettings(kafka_port=port, kafka_collector_password=SecretStr("x"), market_feed="none")
    folder = JournalFolder(tmp_path, 10_000, 1)
    publisher = Publisher(settings, folder)
    publisher.start()
    writer = JournalWriter(folder, "live", publisher.wake)
    for number in range(1000):
        writer.append(Frame(number, TRADE))
        writer.flush()
    publisher.publish_event(Event(1, "s", "connected", "", None))
    wait_until(lambda: publisher.problem, "a problem", 30)
    assert "Kafka did not answer" in str(publisher.problem)
    assert publisher.is_alive()
    writer.close()
    publisher.stop()
    assert publisher.trades_published == 0
    journals = folder.pending()
    assert len(journals) > 5
    assert all(journal.closed and journal.acked() == START for journal in journals)
    folder.close()
    assert [journal.id for journal in JournalFolder(tmp_path, 10_000, 1).pending()] == [
        one.id for one in journals
    ]
