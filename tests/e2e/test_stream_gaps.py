"""A feed that dies leaves a gap that is told: from the collector to the table of feed events."""

from datetime import UTC, datetime
from typing import Any

import pytest

from stack import Stack, wait_until

pytestmark = pytest.mark.timeout(900)


def events(stack: Stack, since: datetime) -> list[Any]:
    """Return the feed events since a moment, in order."""
    days = {since.date(), datetime.now(UTC).date()}
    session = stack.cassandra()
    rows = [
        row
        for day in sorted(days)
        for row in session.execute("SELECT * FROM feed_events WHERE day = %s", (day,))
        if row.at >= since.replace(tzinfo=None)
    ]
    session.cluster.shutdown()
    return rows


def test_the_gap_of_a_feed_that_was_killed_is_told(demo_stack: Stack) -> None:
    wait_until(lambda: demo_stack.received() > 0, "demo trades")
    killed_at = datetime.now(UTC)
    demo_stack.kill("feed")
    wait_until(
        lambda: "gap" in {row.kind for row in events(demo_stack, killed_at)}, "the gap among the feed events"
    )
    told = events(demo_stack, killed_at)
    assert [row.kind for row in told] == ["disconnected", "resubscribed", "gap"]
    assert 0 < told[-1].gap_seconds < (datetime.now(UTC) - killed_at).total_seconds() + 1
    before = demo_stack.received()
    wait_until(lambda: demo_stack.received() > before, "demo trades after the gap")
