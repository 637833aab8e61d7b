"""Services that hang while trades come are started anew; `soak` stops each in turn."""

import pytest

from hangs import stop_during_a_replay
from ops.lifecycle.services import SERVICES
from stack import Stack

pytestmark = pytest.mark.timeout(900)


def test_all_services_that_hang_at_once_are_started_anew_and_nothing_is_lost(stack: Stack) -> None:
    seconds = stop_during_a_replay(stack, [service.name for service in SERVICES])
    print(", ".join(f"{name} was ready after {seconds[name]:.0f} s" for name in sorted(seconds)))
