"""Long faults: twenty kills of the collector, and a broker that stops for a minute."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from kill_campaign import kill_collectors
from stack import Stack

KILLS = 20
STOPPED_SECONDS = 60

pytestmark = pytest.mark.timeout(3600)


def test_twenty_kills_at_random_moments_lose_double_and_reorder_nothing(stack: Stack, tmp_path: Path) -> None:
    kill_collectors(stack, tmp_path, KILLS)


def test_a_broker_that_stops_for_a_minute_loses_doubles_and_reorders_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    kafka = int(stack.status()["services"]["kafka"]["pid"])

    def stop_for_a_while() -> None:
        os.kill(kafka, signal.SIGSTOP)
        try:
            time.sleep(STOPPED_SECONDS)
        finally:
            os.kill(kafka, signal.SIGCONT)

    stopper = threading.Thread(target=stop_for_a_while)
    stopper.start()
    try:
        kill_collectors(stack, tmp_path, kills=5, before_check=stopper.join)
    finally:
        stopper.join()
