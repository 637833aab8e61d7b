"""The offset log of Spark's batches, the offsets in Kafka, and waiting for trades to be stored.

Kafka is librdkafka's own mock broker.
"""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from common.kafka import TRADES_GROUP
from stream_processor.offsets import Offsets, Progress, _retried, batch_end

JOIN_SECONDS = 30.0
LONG_SECONDS = 3600.0

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def login() -> Iterator[dict[str, str | int]]:
    """Return how to reach a broker that lives as long as the test."""
    create = {"allow.auto.create.topics": "true", "log_level": 0}
    broker = Consumer({"test.mock.num.brokers": 1, "bootstrap.servers": "", "group.id": "broker", **create})
    [address] = broker.list_topics("market", timeout=60).brokers.values()
    yield {"bootstrap.servers": f"{address.host}:{address.port}", **create}
    broker.close()


@pytest.fixture
def progress(login: dict[str, str | int]) -> Progress:
    """Return a progress that has reached nothing."""
    return Progress(login, TRADES_GROUP)


def write_log(folder: Path, *lines: str) -> Path:
    (folder / "offsets").mkdir()
    (folder / "offsets" / "7").write_text("\n".join(lines))
    return folder


def test_a_batch_ends_where_its_offset_log_says(tmp_path: Path) -> None:
    checkpoint = write_log(
        tmp_path, "v1", '{"batchWatermarkMs":0}', '{"market":{"0":12,"2":0},"other":{"1":5}}'
    )
    assert batch_end(checkpoint, 7) == {("market", 0): 12, ("market", 2): 0, ("other", 1): 5}


@pytest.mark.parametrize(
    "lines", [("v2", "{}", '{"market":{"0":1}}'), ("v1", "{}"), ("v1", "{}", "{}", "{}")]
)
def test_an_offset_log_of_another_format_is_refused(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="was not an offset log v1 of one source"):
        batch_end(write_log(tmp_path, *lines), 7)


def test_what_was_committed_is_found_again(login: dict[str, str | int], progress: Progress) -> None:
    progress.restore("market")  # nothing is committed yet
    assert progress.wait_for({("market", 0): 0}, 0) is True
    assert progress.wait_for({("market", 0): 1}, 0) is False
    progress.commit({("market", 0): 5, ("market", 2): 1})
    progress.commit({("market", 0): 7})

    again = Progress(login, TRADES_GROUP)
    assert again.wait_for({("market", 0): 1}, 0) is False
    again.restore("market")
    for one in (progress, again):
        assert one.wait_for({("market", 0): 7, ("market", 2): 1}, 0) is True
        assert one.wait_for({("market", 0): 8}, 0) is False
        assert one.wait_for({("market", 0): 7, ("market", 1): 1}, 0) is False


def test_groups_do_not_see_each_other(login: dict[str, str | int], progress: Progress) -> None:
    progress.commit({("market", 0): 5})
    other = Progress(login, "other")
    other.restore("market")
    assert other.wait_for({("market", 0): 5}, 0) is False


def in_thread(work: Callable[[], Any], then: Callable[[], None]) -> list[Any]:
    """Run `work` in a thread, `then` while it runs; return its result, nothing when it did not end."""
    started = threading.Event()
    results: list[Any] = []

    def run() -> None:
        started.set()
        results.append(work())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    then()
    thread.join(JOIN_SECONDS)
    return results


def test_a_wait_ends_when_the_offsets_are_committed(progress: Progress) -> None:
    wanted: Offsets = {("market", 0): 5}
    assert in_thread(
        lambda: progress.wait_for(wanted, LONG_SECONDS), then=lambda: progress.commit({("market", 0): 5})
    ) == [True]


def test_a_wait_goes_on_while_something_is_stored(progress: Progress) -> None:
    wanted: Offsets = {("market", 0): 3}

    def commit_slowly() -> None:
        for offset in (1, 2, 3):
            progress.commit({("market", 0): offset})

    assert in_thread(lambda: progress.wait_for(wanted, LONG_SECONDS), then=commit_slowly) == [True]
    assert progress.wait_for({("market", 0): 4}, 0.01) is False


def test_a_wait_ends_when_it_is_given_up(progress: Progress) -> None:
    wanted: Offsets = {("market", 0): 1}
    assert in_thread(lambda: progress.wait_for(wanted, LONG_SECONDS), then=progress.give_up) == [False]
    assert in_thread(lambda: progress.wait_for(wanted, LONG_SECONDS), then=lambda: None) == [False]


def test_a_wait_for_a_backlog_ends_when_so_many_messages_are_stored(progress: Progress) -> None:
    end: Offsets = {("market", 0): 5, ("market", 1): 5}
    progress.commit({("market", 0): 7, ("market", 1): 2, ("market", 2): 7})  # 9 messages behind the end
    progress.wait_ahead(end, 9, LONG_SECONDS)
    progress.wait_ahead(end, 10, -1)  # the time has passed
    waited = in_thread(
        lambda: progress.wait_ahead(end, 10, LONG_SECONDS), then=lambda: progress.commit({("market", 1): 6})
    )
    assert waited == [None]


def test_a_batch_is_as_large_as_what_is_not_stored_of_it(progress: Progress) -> None:
    assert progress.ahead_to({("market", 0): 7, ("market", 1): 2}) == 9
    progress.commit({("market", 0): 5, ("market", 1): 4})
    assert progress.ahead_to({("market", 0): 7, ("market", 1): 2}) == 2


def test_a_wait_for_a_backlog_ends_when_it_is_given_up(progress: Progress) -> None:
    waited = in_thread(lambda: progress.wait_ahead({}, 1, LONG_SECONDS), then=progress.give_up)
    assert waited == [None]


def test_what_is_stored_already_needs_no_wait(progress: Progress) -> None:
    progress.commit({("market", 0): 5})
    progress.give_up()
    assert progress.wait_for({("market", 0): 5}, LONG_SECONDS) is True
    assert progress.wait_for({}, LONG_SECONDS) is True


def attempts(*answers: Any) -> Callable[[], Any]:
    """Return a call that gives one answer after the other, and raises those that are exceptions."""
    waiting = list(answers)

    def call() -> Any:
        answer = waiting.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


NO_COORDINATOR = KafkaError(KafkaError._WAIT_COORD)


def test_a_call_is_repeated_until_the_group_has_a_coordinator() -> None:
    refused = [SimpleNamespace(error=None), SimpleNamespace(error=NO_COORDINATOR)]
    done = [SimpleNamespace(error=None)]
    assert _retried(attempts(KafkaException(NO_COORDINATOR), refused, done)) == done


@pytest.mark.parametrize("answer", [KafkaException(NO_COORDINATOR), [SimpleNamespace(error=NO_COORDINATOR)]])
def test_a_call_fails_when_the_coordinator_does_not_come(answer: Any) -> None:
    with pytest.raises(KafkaException) as raised:
        _retried(attempts(answer), seconds=-1)
    assert raised.value.args[0].code() == KafkaError._WAIT_COORD


def test_the_lag_is_what_a_partition_holds_beyond_what_is_stored(
    login: dict[str, str | int], progress: Progress
) -> None:
    producer = Producer(login)
    for _ in range(5):
        producer.produce("market", b"x", partition=0)
    assert producer.flush(30) == 0
    progress.restore("market")
    assert progress.lag()[0] == 5
    progress.commit({("market", 0): 3})
    assert progress.lag()[0] == 2
    progress.commit({("market", 0): 9})
    assert progress.lag()[0] == 0
