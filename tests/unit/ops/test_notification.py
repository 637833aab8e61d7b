"""Word of alerts, sent to a real receiver over HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.monitoring.notification import Messenger, UrlError, addresses
from ops.monitoring.rules import Alert
from receiver import SECRET, Receiver, receiving

ONE = Alert(
    "FeedDisconnected feed=a", "critical", 1.0, "The feed was cut.", "Trades are missed.", "./market logs"
)
TWO = Alert("DiskFull", "warning", 2.0, "The disk was full.", "Kafka ends.", "./market doctor")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def messenger(receiver: Receiver, folder: Path, *others: Receiver) -> Messenger:
    urls = " ".join(each.url() for each in (receiver, *others))
    return Messenger(addresses(urls), folder / "told.json")


def test_an_alert_is_told_once_when_it_begins_and_once_when_it_ends(
    receiver: Receiver, tmp_path: Path
) -> None:
    told = messenger(receiver, tmp_path)
    told.tell([])
    assert receiver.messages == []
    told.tell([ONE])
    told.tell([ONE._replace(summary="The feed is still cut.")])
    told.tell([ONE, TWO])
    told.tell([TWO])
    first, second, third = receiver.messages
    assert first == "critical: The feed was cut.\nTrades are missed.\nWhat helps: ./market logs"
    assert second == "warning: The disk was full.\nKafka ends.\nWhat helps: ./market doctor"
    assert third == "ended: The feed was cut."


def test_a_restart_repeats_nothing_and_forgets_no_end(receiver: Receiver, tmp_path: Path) -> None:
    messenger(receiver, tmp_path).tell([ONE])
    messenger(receiver, tmp_path).tell([ONE])
    messenger(receiver, tmp_path).tell([])
    assert len(receiver.messages) == 2
    assert receiver.messages[1] == "ended: The feed was cut."


def test_who_does_not_take_it_is_told_later_and_the_others_once(receiver: Receiver, tmp_path: Path) -> None:
    with receiving() as other:
        told = messenger(receiver, tmp_path, other)
        receiver.refusing = True
        told.tell([ONE])
        assert (len(receiver.messages), len(other.messages)) == (0, 1)
        receiver.refusing = False
        told.tell([ONE, TWO])
        assert "The feed was cut" in receiver.messages[0]
        assert "The disk was full" in receiver.messages[0]
        assert other.messages[1].startswith("warning: The disk was full")
        assert len(other.messages) == 2


def test_what_came_and_went_while_nobody_took_it_is_not_told(receiver: Receiver, tmp_path: Path) -> None:
    told = messenger(receiver, tmp_path)
    receiver.refusing = True
    told.tell([ONE])
    receiver.refusing = False
    told.tell([])
    assert receiver.messages == []


def test_no_address_is_in_a_log_or_a_file(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = messenger(receiver, tmp_path)
    told.tell([ONE])
    receiver.refusing = True
    told.tell([ONE, TWO])
    assert "did not take 1 began; it is tried again" in caplog.text
    assert SECRET not in caplog.text + (tmp_path / "told.json").read_text()


@pytest.mark.parametrize("urls", ["nothing-like-a-url-secret", "json://ok secretscheme://x"])
def test_an_address_that_apprise_does_not_know_is_told_without_it(urls: str) -> None:
    with pytest.raises(UrlError, match=r"MARKET_ALERTS held a URL") as error:
        addresses(urls)
    assert "secret" not in str(error.value)
