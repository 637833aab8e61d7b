"""The collector and Kafka are killed while trades come: what was journaled reaches topic and tables."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from collector.journal import PACKED, journal_ids
from kafka_topics.server import prepare
from kafka_topics.settings import KafkaTopicsSettings
from ops.inspection.probes import is_open
from ops.lifecycle.services import FLUSH_SECONDS
from ops.lifecycle.supervision import Supervisor
from stack import ROOT, Stack, wait_until
from topics import Symbol, all_journaled, delete_topic, frames_in_order, journaled, published, stored

DEMO = ROOT / "tests" / "data" / "demo.jsonl.gz"

pytestmark = pytest.mark.timeout(900)


def until_published(stack: Stack, journal: str) -> int:
    """Wait until every frame of a journal is on the topic, whole; return the journal's number of trades."""
    trades = journaled(stack.home / "journal", journal)
    wait_until(lambda: trades.keys() <= published(stack).keys(), f"{journal} on the topic", 180)
    on_topic = published(stack)
    assert {name: set(on_topic[name]) for name in trades} == {name: {count} for name, count in trades.items()}
    return trades.total()


def test_a_collector_that_is_killed_publishes_the_rest_after_its_restart(stack: Stack) -> None:
    wait_until(lambda: stack.status()["services"]["collector"]["ready"], "a collector that is ready")
    before = stack.received()
    known = set(journal_ids(stack.home / "journal"))
    with ThreadPoolExecutor(1) as pool:
        replaying = pool.submit(stack.market, "replay", str(DEMO), "--speed", "4", check=False)
        wait_until(lambda: stack.received() > before + 200, "some trades", 60)
        killed = int(stack.status()["services"]["collector"]["pid"])
        os.kill(killed, signal.SIGKILL)
        done = replaying.result(timeout=120)
    assert done.returncode != 0
    assert "The collector was disconnected after" in done.stderr
    assert "Traceback" not in done.stderr
    wait_until(
        lambda: (service := stack.status()["services"]["collector"])["ready"] and service["pid"] != killed,
        "a collector that runs again",
    )
    [journal] = set(journal_ids(stack.home / "journal")) - known
    trades = until_published(stack, journal)
    assert trades >= 200
    wait_until(lambda: stored(stack, journal) >= trades, "the trades in Cassandra", 180)
    assert stored(stack, journal) == trades
    packed = stack.home / "journal" / f"{journal}{PACKED}"
    wait_until(packed.exists, "the finished journal to be packed", 60)


def stop_for_good(supervisor: Supervisor, service: str) -> bool:
    """Stop a killed service before its restart, or after it; return whether it stays stopped."""
    supervisor.stop(service, FLUSH_SECONDS)
    return supervisor.processes()[service].state == "STOPPED"


def test_nothing_is_lost_while_kafka_is_down(stack: Stack) -> None:
    wait_until(lambda: stack.status()["services"]["collector"]["ready"], "a collector that is ready")
    known = set(journal_ids(stack.home / "journal"))
    supervisor = Supervisor(stack.home)
    stack.kill("kafka")
    wait_until(lambda: stop_for_good(supervisor, "kafka"), "a Kafka that stays down")
    done = stack.market("replay", str(DEMO), "--speed", "max")
    assert done.returncode == 0
    assert not is_open("127.0.0.1", int(stack.settings["KAFKA_PORT"]))
    [journal] = set(journal_ids(stack.home / "journal")) - known
    sick = stack.market("doctor", check=False)
    assert sick.returncode == 1
    assert "✘ kafka was MISSING\n    → see ./market logs kafka" in sick.stdout
    supervisor.start("kafka")
    wait_until(lambda: stack.status()["services"]["kafka"]["ready"], "a Kafka that runs again")
    trades = until_published(stack, journal)
    for frames in frames_in_order(stack, {journal}).values():
        assert frames == sorted(frames)
    wait_until(lambda: stored(stack, journal) >= trades, "the trades in Cassandra", 180)
    assert stored(stack, journal) == trades
    wait_until(lambda: stack.status()["services"]["collector"]["ready"], "a collector that is ready")


def message_counts(stack: Stack) -> dict[Symbol, int]:
    """Return how many messages each (frame, symbol) of the journals has on the topic."""
    return {name: len(trades) for name, trades in published(stack).items()}


def test_publishing_journals_again_doubles_no_row(stack: Stack) -> None:
    known = set(journal_ids(stack.home / "journal"))
    figures = stack.replay(DEMO)
    [journal] = set(journal_ids(stack.home / "journal")) - known
    start = datetime.now(UTC)
    messages = message_counts(stack)
    everything = all_journaled(stack.home / "journal")
    said = stack.market("republish", "--to", start.isoformat()).stdout
    assert f"{everything.total()} trades were published again" in said
    once_more = {name: messages.get(name, 0) + 1 for name in everything}
    assert message_counts(stack) == once_more
    second = stack.replay(DEMO)
    assert second["stored"] == second["trades"] == figures["trades"]
    assert stored(stack, journal) == figures["trades"]
    [newest] = set(journal_ids(stack.home / "journal")) - {*known, journal}
    said = stack.market("republish", "--from", start.isoformat()).stdout
    assert f"{second['trades']} trades were published again" in said
    twice = dict.fromkeys(journaled(stack.home / "journal", newest), 2)
    assert message_counts(stack) == once_more | twice


def test_a_lost_topic_is_filled_again_from_the_journal(stack: Stack) -> None:
    wait_until(lambda: stack.status()["services"]["stream-processor"]["ready"], "a stream processor")
    known = set(journal_ids(stack.home / "journal"))
    started = datetime.now(UTC)
    supervisor = Supervisor(stack.home)
    supervisor.stop("stream-processor", FLUSH_SECONDS)
    stack.market("replay", str(DEMO), "--speed", "max")
    [journal] = set(journal_ids(stack.home / "journal")) - known
    trades = until_published(stack, journal)
    delete_topic(stack, stack.topic)
    prepare(KafkaTopicsSettings.load())
    assert published(stack) == {}
    assert stored(stack, journal) == 0
    supervisor.start("stream-processor")
    wait_until(lambda: stack.status()["services"]["stream-processor"]["ready"], "a stream processor")
    said = stack.market("republish", "--from", started.isoformat()).stdout
    assert f"{trades} trades were published again" in said
    wait_until(lambda: stored(stack, journal) >= trades, "the trades in Cassandra", 180)
    assert stored(stack, journal) == trades


def test_a_topic_that_is_lost_under_a_running_stack_is_read_from_its_new_beginning(stack: Stack) -> None:
    wait_until(lambda: stack.status()["services"]["stream-processor"]["ready"], "a stream processor")
    delete_topic(stack, stack.topic)
    prepare(KafkaTopicsSettings.load())
    figures = stack.replay(DEMO)
    assert figures["stored"] == figures["trades"] > 0
