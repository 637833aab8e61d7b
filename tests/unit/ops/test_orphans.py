import os
import subprocess
import sys
from pathlib import Path

import psutil

from ops.lifecycle.orphans import MARK, belongs, end, find_orphans


def test_an_orphan_belongs_to_its_own_home_only(tmp_path: Path) -> None:
    assert belongs({MARK: str(tmp_path)}, tmp_path)
    assert not belongs({MARK: f"{tmp_path}/other"}, tmp_path)
    assert not belongs({"MARKET_HOME": str(tmp_path)}, tmp_path)


def test_orphans_are_found_and_ended_even_when_they_do_not_listen(tmp_path: Path) -> None:
    stubborn = "\n".join(
        [
            "import signal, sys",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "print(flush=True)",
            "sys.stdin.read()",
        ]
    )
    child = subprocess.Popen(
        [sys.executable, "-c", stubborn],
        env={**os.environ, MARK: str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        found = find_orphans(tmp_path)
        assert [process.pid for process in found] == [child.pid]
        assert find_orphans(tmp_path / "other") == []
        end(found, end_seconds=0.2)
        assert child.poll() is not None
        assert find_orphans(tmp_path) == []
    finally:
        child.kill()


def test_what_ends_and_is_reaped_by_nobody_has_ended(tmp_path: Path) -> None:
    """As where the first process of a container does not reap."""
    careless = (
        "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", careless], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        end([orphan])
        assert orphan.status() == psutil.STATUS_ZOMBIE
        end([orphan])
        parent.kill()
