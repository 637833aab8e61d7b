"""A feed that is cut: the alert arrives, and its end; in the meantime status and doctor know of it."""

import re

import pytest

from ops.lifecycle.supervision import Supervisor
from receiver import receiving
from stack import Stack, wait_until

LIMIT_SECONDS = 240
SUMMARY = "The collector was not connected to feed."


@pytest.mark.timeout(600)
def test_a_cut_feed_is_told_when_it_begins_and_when_it_ends(stack: Stack) -> None:
    found = re.search(r":(\d+)/", stack.settings["MARKET_ALERTS"].partition("@")[2])
    assert found
    supervisor = Supervisor(stack.home)
    with receiving(int(found[1])) as receiver:

        def told(words: str) -> list[str]:
            return [message for message in receiver.messages if words in message]

        supervisor.stop("feed", 60)
        try:
            wait_until(lambda: told(f"critical: {SUMMARY}"), "word of the cut feed", LIMIT_SECONDS)
            assert SUMMARY in [alert["summary"] for alert in stack.status()["alerts"]]
            doctor = stack.market("doctor", check=False)
            assert f"✘ {SUMMARY}" in doctor.stdout
            assert "→ ./market logs collector" in doctor.stdout
            assert doctor.returncode == 1
        finally:
            supervisor.start("feed")
        wait_until(lambda: told(f"ended: {SUMMARY}"), "word of its end", LIMIT_SECONDS)
        assert len(told(f"critical: {SUMMARY}")) == len(told(f"ended: {SUMMARY}")) == 1
