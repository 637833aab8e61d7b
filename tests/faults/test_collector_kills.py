"""A few kills of the collector at random moments; `soak` has twenty."""

from pathlib import Path

import pytest

from kill_campaign import kill_collectors
from stack import Stack

pytestmark = pytest.mark.timeout(900)


def test_killed_collectors_lose_double_and_reorder_nothing(stack: Stack, tmp_path: Path) -> None:
    kill_collectors(stack, tmp_path, kills=3)
