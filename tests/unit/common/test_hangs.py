"""When a service hangs, and what a container's health check does then."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common import hangs
from common.hangs import MIN_SILENCES, Hearing, Silence, end_hanging_container, stopped
from stack import wait_until

SILENT = Silence("the port was closed")
LIMIT = 100
START = 600
READY = Hearing().asked(None, -1)
PARENT = "import subprocess; p = subprocess.Popen(['sleep', '600']); print(p.pid, flush=True); p.wait()"


def silent(hearing: Hearing, seconds: float) -> Hearing:
    """Return what is known of a service that gave no answer for so long, from the time 0 on."""
    for look in range(MIN_SILENCES):
        hearing = hearing.asked(SILENT, seconds * look / (MIN_SILENCES - 1))
    return hearing


def test_a_service_hangs_once_it_is_silent_for_its_limit() -> None:
    hearing = silent(READY, LIMIT)
    assert not hearing.is_hanging(LIMIT, START, LIMIT - 1)
    assert hearing.is_hanging(LIMIT, START, LIMIT)
    assert not hearing.is_hanging(0, START, 1e9)


def test_an_answer_ends_a_silence_even_one_that_says_what_is_missing() -> None:
    for answer in (None, "Kafka did not answer"):
        hearing = silent(READY, LIMIT).asked(answer, LIMIT)
        assert not hearing.is_hanging(LIMIT, START, 1e9)
        assert not hearing.asked(SILENT, LIMIT).is_hanging(LIMIT, START, 1e9)
        assert not silent(hearing, LIMIT).is_hanging(LIMIT, START, LIMIT - 1)


def test_a_machine_that_slept_has_not_seen_a_hang() -> None:
    hearing = READY
    for look in range(MIN_SILENCES - 1):
        hearing = hearing.asked(SILENT, look)
    assert not hearing.is_hanging(LIMIT, START, 1e9)


def test_a_service_that_was_never_ready_has_the_time_of_a_start() -> None:
    starting = silent(Hearing().asked("it was not ready yet", -1), LIMIT)
    assert not starting.was_ready
    assert not starting.is_hanging(LIMIT, START, START - 1)
    assert starting.is_hanging(LIMIT, START, START)
    assert not starting.is_hanging(0, START, 1e9)


def test_a_stopped_process_is_named() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        pids = (2**22 + 1, parent.pid, child)
        try:
            assert stopped(pids) is None
            os.kill(child, signal.SIGSTOP)
            reason = wait_until(lambda: stopped(pids), "a stopped process", 60, every=0.01)
            assert reason == f"its process {child} (sleep) was stopped"
            assert isinstance(reason, Silence)
        finally:
            os.kill(child, signal.SIGKILL)
    assert stopped(pids) is None


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, int]]:
    """Be the health check of a container, and kill nothing."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *call: killed.append(call))
    monkeypatch.setattr(os, "getppid", lambda: hangs.OUTSIDE)
    monkeypatch.setattr(hangs, "stopped", lambda _: None)
    monkeypatch.setattr(hangs, "FIRST_OUTPUT", tmp_path / "output")
    monkeypatch.setattr(hangs.tempfile, "gettempdir", lambda: str(tmp_path))
    return killed


def hear(monkeypatch: pytest.MonkeyPatch, answer: str | None, now: float) -> None:
    monkeypatch.setattr(hangs.time, "monotonic", lambda: now)
    end_hanging_container(answer, LIMIT, START)


def test_a_health_check_ends_a_container_that_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, killed: list[tuple[int, int]]
) -> None:
    (tmp_path / "hearing.json").write_text("no JSON")
    hear(monkeypatch, None, 0)
    for now in (30, 60, 90, 120):
        hear(monkeypatch, SILENT, now)
    assert killed == []
    hear(monkeypatch, SILENT, 130)
    assert killed == [(-1, signal.SIGKILL)]
    assert (tmp_path / "output").read_text() == "The service hangs and is killed: the port was closed\n"


def test_a_process_that_was_stopped_hangs_though_another_answers(
    monkeypatch: pytest.MonkeyPatch, killed: list[tuple[int, int]]
) -> None:
    hear(monkeypatch, None, 0)
    monkeypatch.setattr(hangs, "stopped", lambda _: SILENT)
    for now in (0, 50, 100):
        hear(monkeypatch, None, now)
    assert killed == [(-1, signal.SIGKILL)]


def test_nothing_is_ended_outside_of_a_container(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, killed: list[tuple[int, int]]
) -> None:
    monkeypatch.setattr(os, "getppid", lambda: 7)
    for now in range(0, 1000, 100):
        hear(monkeypatch, SILENT, now)
    assert killed == []
    assert not (tmp_path / "hearing.json").exists()
