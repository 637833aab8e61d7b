"""The collector and Kafka are killed while trades come: what was journaled reaches topic and tables."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from collector.journal import PACKED, journal_ids
from common.heartbeat import read_heartbeat
from stack import ROOT, Stack, wait_until
from topics import all_journaled, frames_in_order, journaled, published, stored

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
        killed = int((read_heartbeat(stack.home, "collector") or {})["pid"])
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


def test_nothing_is_lost_while_kafka_is_away(stack: Stack) -> None:
    wait_until(lambda: stack.status()["services"]["collector"]["ready"], "a collector that is ready")
    known = set(journal_ids(stack.home / "journal"))
    killed = stack.kill("kafka")
    done = stack.market("replay", str(DEMO), "--speed", "max")
    assert done.returncode == 0
    [journal] = set(journal_ids(stack.home / "journal")) - known
    wait_until(
        lambda: (service := stack.status()["services"]["kafka"])["ready"] and service["pid"] != killed,
        "a Kafka that runs again",
    )
    trades = until_published(stack, journal)
    for frames in frames_in_order(stack, {journal}).values():
        assert frames == sorted(frames)
    wait_until(lambda: stored(stack, journal) >= trades, "the trades in Cassandra", 180)
    assert stored(stack, journal) == trades
    wait_until(lambda: stack.status()["services"]["collector"]["ready"], "a collector that is ready")


def test_publishing_journals_again_doubles_no_row(stack: Stack) -> None:
    known = set(journal_ids(stack.home / "journal"))
    figures = stack.replay(DEMO)
    [journal] = set(journal_ids(stack.home / "journal")) - known
    start = datetime.now(UTC)
    messages = {name: len(counts) for name, counts in published(stack).items()}
    said = stack.market("republish", "--to", start.isoformat()).stdout
    assert f"{all_journaled(stack.home / 'journal').total()} trades were published again" in said
    again = published(stack)
    assert {name: len(counts) for name, counts in again.items() if name in messages} == {
        name: count + 1 for name, count in messages.items()
    }
    second = stack.replay(DEMO)
    assert second["stored"] == second["trades"] == figures["trades"]
    assert stored(stack, journal) == figures["trades"]
