"""What `./market` says on a machine that lacks what it needs; its commands are stood in for."""

import os
import subprocess
from pathlib import Path

import pytest

from common.settings import ROOT

STANDS_FOR = {
    "apt-get": 'echo "apt-get $*" >>"$CALLS"; [[ $* != *"$FAILS"* ]]',
    "apt-cache": '[[ $* == *"$UNKNOWN"* ]] || echo "$* - a package"',
    "python3.11": "exit 1",
}


def market(folder: Path, **environ: str) -> tuple[str, str]:
    """Return what the script says where nothing is installed yet, and what it asked of apt-get."""
    commands = folder / "bin"
    commands.mkdir()
    for name, script in STANDS_FOR.items():
        (commands / name).write_text(f"#!/usr/bin/env bash\n{script}\n")
        (commands / name).chmod(0o755)
    done = subprocess.run(
        [ROOT / "market", "status"],
        env={
            "PATH": f"{commands}:/usr/bin:/bin",
            "HOME": str(folder),
            "SSL_CERT_FILE": "/there",
            "CALLS": str(folder / "calls"),
            "FAILS": "nothing",
            "UNKNOWN": "nothing",
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    calls = folder / "calls"
    return done.stderr.splitlines()[-1], calls.read_text() if calls.exists() else ""


@pytest.fixture(autouse=True)
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root installs packages")


def test_a_system_without_the_package_is_no_fault_of_the_network(tmp_path: Path) -> None:
    said, calls = market(tmp_path, UNKNOWN="python3.11")
    assert said.startswith("This system has no package python3.11 (Debian 12 has); install it in another way")
    assert " install " not in calls


@pytest.mark.parametrize(
    ("fails", "what"), [("update", "update its lists"), ("install", "install python3.11")]
)
def test_a_network_that_fails_is_named(tmp_path: Path, fails: str, what: str) -> None:
    said, _ = market(tmp_path, FAILS=fails)
    assert (
        said == f"apt-get could not {what} (see above); check the network and its proxy and run this again."
    )
