import pytest

from ops.inspection.status import state_of
from ops.lifecycle.supervision import Process


@pytest.mark.parametrize(
    ("process", "reason", "was_ready", "uptime", "state"),
    [
        (None, None, False, 0, "MISSING"),
        (Process("STOPPED", 0, 0), None, False, 0, "MISSING"),
        (Process("BACKOFF", 0, 0), "no process", False, 0, "EXITED"),
        (Process("FATAL", 0, 0), "no process", True, 0, "EXITED"),
        (Process("EXITED", 0, 0), "no process", False, 0, "EXITED"),
        (Process("RUNNING", 7, 0), None, False, 1, "READY"),
        (Process("RUNNING", 7, 0), "closed", False, 1, "STARTING"),
        (Process("RUNNING", 7, 0), "closed", False, 601, "UNHEALTHY"),
        (Process("RUNNING", 7, 0), "closed", True, 1, "UNHEALTHY"),
    ],
)
def test_states(
    process: Process | None, reason: str | None, was_ready: bool, uptime: float, state: str
) -> None:
    assert state_of(process, reason, was_ready, uptime, 600) == state
