"""Debian's Prometheus and Alertmanager, without the units that would start them."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.errors import MarketError
from ops.install.bootstrap import INSTALL_SECONDS, building
from ops.install.dependencies import apt_install, can_apt
from ops.report import Report

# The packages have programs of the same names.
PACKAGES = ("prometheus", "prometheus-alertmanager")
POLICY = Path("/usr/sbin/policy-rc.d")
START_NOTHING = "#!/bin/sh\nexit 101\n"


def ensure_monitoring(report: Report) -> None:
    """Install what is missing, where that is possible; raise MarketError."""
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    if not missing:
        return
    if not can_apt():
        raise MarketError(
            f"MARKET_MONITORING=on needed Debian's packages {' and '.join(missing)}: install them, and "
            "disable the services of these names, which the stack does not use."
        )
    report(f"Installing {' and '.join(missing)} ...")
    with starting_nothing():
        apt_install(*missing)


@contextmanager
def starting_nothing(policy: Path = POLICY) -> Iterator[None]:
    """Keep Debian from starting what it installs; a policy that is there already stays."""
    if policy.exists():
        yield
        return
    policy.write_text(START_NOTHING)
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


def ensure_promtool(cache: Path, report: Report) -> Path:
    """Return promtool, taken out of Debian's package where it is not installed; raise MarketError."""
    installed = shutil.which("promtool")
    if installed:
        return Path(installed)
    target = cache / "promtool"
    with building(target):
        if not target.exists():
            report("Fetching promtool ...")
            _fetch(target)
    return target


def _fetch(target: Path) -> None:
    if shutil.which("apt-get") is None:
        raise MarketError("promtool is taken from Debian's package prometheus, and there was no apt.")
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        if can_apt():
            _run(["apt-get", "-qq", "update"], temporary)
        _run(["apt-get", "-qq", "download", "prometheus"], temporary)
        [package] = Path(temporary).glob("*.deb")
        _run(["dpkg-deb", "-x", str(package), temporary], temporary)
        (Path(temporary) / "usr" / "bin" / target.name).replace(target)


def _run(command: list[str], folder: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise MarketError(f"{command[0]} took more than {INSTALL_SECONDS} s: check the network.") from None
    if done.returncode != 0:
        output = " ".join(done.stderr.split())[-300:]
        raise MarketError(f"promtool could not be fetched from Debian: {output}")
