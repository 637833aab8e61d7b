"""Twenty kills of the collector and a broker that stops for a minute, while trades come."""

import os
import random
import signal
import time

import pytest

from collector.journal import journal_ids
from stack import Stack, wait_until
from topics import frames_in_order, journaled, published, stored

KILLS = 20
STOPPED_SECONDS = 60

pytestmark = pytest.mark.timeout(3600)


def ready_pid(stack: Stack, service: str, other_than: int = 0) -> int:
    """Wait until a service is ready in a process; return its pid."""

    def pid() -> int:
        status = stack.status()["services"][service]
        return int(status["pid"]) if status["ready"] and status["pid"] != other_than else 0

    return wait_until(pid, f"a {service} that is ready", 300)


def until_settled(stack: Stack, known: set[str]) -> None:
    """Check that everything journaled since is in Kafka, in order, and in the table exactly once."""
    folder = stack.home / "journal"
    open_now = journal_ids(folder)[-1]
    journals = [journal for journal in journal_ids(folder) if journal not in known and journal != open_now]
    assert journals
    for journal in journals:
        trades = journaled(folder, journal)
        wait_until(
            lambda trades=trades: trades.keys() <= published(stack).keys(),  # type: ignore[misc]
            f"{journal} on the topic",
            300,
        )
        total = trades.total()
        wait_until(
            lambda journal=journal, total=total: stored(stack, journal) >= total,  # type: ignore[misc]
            f"the trades of {journal} in Cassandra",
            300,
        )
        assert stored(stack, journal) == total
    for frames in frames_in_order(stack, set(journals)).values():
        assert frames == sorted(frames)


def test_twenty_kills_at_random_moments_lose_double_and_reorder_nothing(demo_stack: Stack) -> None:
    source = random.Random()
    known = set(journal_ids(demo_stack.home / "journal"))
    pid = ready_pid(demo_stack, "collector")
    for _ in range(KILLS):
        time.sleep(source.uniform(0, 5))
        os.kill(pid, signal.SIGKILL)
        pid = ready_pid(demo_stack, "collector", other_than=pid)
    until_settled(demo_stack, known)


def test_a_broker_that_stops_for_a_minute_costs_nothing(demo_stack: Stack) -> None:
    known = set(journal_ids(demo_stack.home / "journal"))
    collector = ready_pid(demo_stack, "collector")
    kafka = ready_pid(demo_stack, "kafka")
    os.kill(kafka, signal.SIGSTOP)
    try:
        time.sleep(STOPPED_SECONDS)
    finally:
        os.kill(kafka, signal.SIGCONT)
    assert ready_pid(demo_stack, "collector") == collector
    os.kill(collector, signal.SIGTERM)
    ready_pid(demo_stack, "collector", other_than=collector)
    until_settled(demo_stack, known)
