"""Each service in turn hangs while trades come, and is started anew."""

import pytest

from hangs import stop_during_a_replay
from ops.lifecycle.services import SERVICES
from stack import Stack

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("name", [service.name for service in SERVICES])
def test_a_service_that_hangs_is_started_anew_and_nothing_is_lost(stack: Stack, name: str) -> None:
    seconds = stop_during_a_replay(stack, [name])
    print(f"{name} was ready {seconds[name]:.0f} s after it was stopped")
