"""Prometheus and Alertmanager, taken out of their Debian packages; nothing of the system is changed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from ops.errors import MarketError
from ops.install.bootstrap import INSTALL_SECONDS, building
from ops.install.dependencies import can_apt
from ops.report import Report

PACKAGES = ("prometheus", "prometheus-alertmanager")
PROGRAMS = ("prometheus", "promtool", "prometheus-alertmanager", "amtool")


def ensure_monitoring(cache: Path, report: Report) -> Path:
    """Return a folder with the programs, fetched where they are missing; raise MarketError.

    apt checks the packages' signatures. Their programs need no other package, and the units that would start
    them are not wanted: so the packages are unpacked and not installed.
    """
    folder = cache / "monitoring"
    with building(folder):
        if not all((folder / name).exists() for name in PROGRAMS):
            report("Fetching Prometheus and Alertmanager ...")
            _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    if shutil.which("apt-get") is None:
        raise MarketError(
            "Prometheus and Alertmanager are taken from Debian's packages, and there was no apt."
        )
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        if can_apt():
            _run(["apt-get", "-qq", "update"], temporary)
        _run(["apt-get", "-qq", "download", *PACKAGES], temporary)
        for package in Path(temporary).glob("*.deb"):
            _run(["dpkg-deb", "-x", str(package), temporary], temporary)
        folder.mkdir(exist_ok=True)
        for name in PROGRAMS:
            (Path(temporary) / "usr" / "bin" / name).replace(folder / name)


def _run(command: list[str], folder: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise MarketError(f"{command[0]} took more than {INSTALL_SECONDS} s: check the network.") from None
    if done.returncode != 0:
        output = " ".join(done.stderr.split())[-300:]
        raise MarketError(f"Prometheus and Alertmanager could not be fetched from Debian: {output}")
