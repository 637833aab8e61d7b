"""Checks before the first change: nothing here has an effect."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from common.settings import Feed
from ops.errors import MarketError
from ops.ports import PortSettings
from ops.report import Report

# Cassandra's commit log (256 MB), Kafka's segments, and some days of trades.
HOME_BYTES = 2 * 1024**3
# Kafka formats another folder than it then reads, and configuration files end or go on at some of the rest.
UNUSABLE = re.compile(r"[^A-Za-z0-9 /._+@=~-]|\s/|/\s|\s$")
# With a token the collector asks Finnhub about each ticker, and waits where Finnhub limits the calls.
CHECK_SECONDS = 60


def existing_parent(path: Path) -> Path:
    """Return the nearest folder that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def folder_bytes(folder: Path) -> int:
    """Return what a folder takes on the disk."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                # No Path for each file: it would be most of the work, which the watch does every minute.
                total += os.stat(f"{parent}/{name}").st_size  # noqa: PTH116
            except OSError:
                continue
    return total


def check_home(home: Path) -> None:
    """Expect a folder that every server can use and that can be written to, with some space on its disk."""
    if UNUSABLE.search(str(home)):
        raise MarketError(
            f"The path {str(home)!r} held characters that not every server can use: name another folder in "
            "MARKET_HOME, of English letters, digits, spaces and / . _ - + @ = ~ only."
        )
    folder = existing_parent(home)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise MarketError(f"{folder} could not be written to; name another folder in MARKET_HOME.")
    free = shutil.disk_usage(folder).free
    if free < HOME_BYTES:
        raise MarketError(
            f"{home} had {free / 1024**3:.1f} GB of free disk space, and {HOME_BYTES / 1024**3:.0f} GB "
            "were needed: free some, or name another folder in MARKET_HOME."
        )


def port_conflict(ports: Mapping[str, int]) -> str | None:
    """Return a sentence about two settings with one port."""
    counts = Counter(ports.values())
    port = next((port for port, count in counts.items() if count > 1), None)
    if port is None:
        return None
    names = [name for name, value in ports.items() if value == port]
    return f"Port {port} was named twice, by {' and '.join(names)}; give each a port of its own."


def is_free(port: int) -> bool:
    """Return whether a local port can be listened on."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def holder(port: int) -> str:
    """Return ` by NAME (pid N)` for who listens on a port, or nothing where this user may not know."""
    try:
        pid = next(
            (
                connection.pid
                for connection in psutil.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
                and connection.laddr.port == port
                and connection.pid
            ),
            None,
        )
        return f" by {psutil.Process(pid).name()} (pid {pid})" if pid else ""
    except (psutil.Error, OSError):
        return ""


def check_ports(ports: Mapping[str, int]) -> None:
    """Expect every port to be free."""
    conflict = port_conflict(ports)
    if conflict:
        raise MarketError(conflict)
    for name, port in ports.items():
        if not is_free(port):
            raise MarketError(
                f"Port {port} ({name}) was taken{holder(port)}: stop that, or set {name} to a free port."
            )


def choose_ports(ports: PortSettings) -> dict[str, int]:
    """Return, by variable, other ports for the movable ones that are taken."""
    moved = {}
    taken = set(ports.by_variable().values())
    for name, usual in ports.movable().items():
        if not is_free(usual):
            port = next(port for port in range(usual + 1, 65536) if port not in taken and is_free(port))
            taken.add(port)
            moved[name] = port
    return moved


def check_feed(feed: Feed, used: Sequence[str], keep: bool, token: bool) -> None:
    """Expect a token for the live feed, and no simulated trades below live ones unless `keep`."""
    if feed == "live" and not token:
        raise MarketError("The live feed needed FINNHUB_API_TOKEN; set it in .env, or take --feed demo.")
    if feed == "live" and "demo" in used and "live" not in used and not keep:
        raise MarketError(
            "The store held simulated trades of the demo feed: remove them with ./market reset --yes, "
            "or go live on top of them with --keep."
        )


def check_collector(feed: Feed, report: Report) -> None:
    """Let the collector check its settings, the tickers among them, and report its warnings."""
    command = [sys.executable, "-P", "-m", "collector", "--check"]
    try:
        result = subprocess.run(
            command,
            env={**os.environ, "MARKET_FEED": feed},
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MarketError(
            f"The collector's settings could not be checked within {CHECK_SECONDS} s."
        ) from None
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    if result.returncode != 0:
        raise MarketError(lines[-1] if lines else "The collector refused its settings without saying why.")
    for line in lines:
        report(line)
