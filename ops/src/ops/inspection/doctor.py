"""Checks of the machine and the stack, each with what to do when it fails."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from ops.inspection.logs import errors, log_file, tail
from ops.inspection.status import services_status
from ops.install.dependencies import JAVA_VERSION, describe_java, find_java, is_installed
from ops.lifecycle.orphans import find_orphans
from ops.lifecycle.preflight import existing_parent, folder_bytes, holder, is_free
from ops.lifecycle.services import supervised_services
from ops.lifecycle.stack import is_supervised, used_feeds
from ops.lifecycle.supervision import Supervisor, UnresponsiveSupervisorError
from ops.monitoring import growth, state
from ops.ports import load_ports
from ops.settings import OpsSettings, WatchSettings, cache_folder

NEEDED_MEMORY_GB = 5.0
NEEDED_DISK_GB = 2.0
MIN_DAYS = 7.0
# A look waits for services that hang, and a busy machine delays the next one.
WATCH_SECONDS = 60.0


class Finding(NamedTuple):
    """The result of one check; `fix` says what to do when it was not good."""

    good: bool
    what: str
    fix: str = ""


def machine(settings: OpsSettings) -> Iterator[Finding]:
    """Check Java, clock, memory and disk."""
    java = find_java(os.environ)
    if java is None:
        yield Finding(
            False, describe_java(os.environ), f"install Java {JAVA_VERSION} and point JAVA_HOME at it"
        )
    else:
        yield Finding(True, f"Java {JAVA_VERSION} in {java}")
    yield (
        Finding(True, "everything was installed")
        if is_installed(cache_folder())
        else Finding(True, f"not everything is installed in {cache_folder()} yet; ./market up does that")
    )
    synchronised = Path("/run/systemd/timesync/synchronized").exists() or any(
        process.info["name"] in ("chronyd", "ntpd") for process in psutil.process_iter(["name"])
    )
    clock = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    yield Finding(
        True,
        f"the clock says {clock}"
        + ("" if synchronised else "; no time service (systemd-timesyncd, chrony, ntpd) was found"),
    )
    gigabytes = psutil.virtual_memory().available / 1024**3
    running = is_supervised(settings.market_home)
    yield Finding(
        running or gigabytes >= NEEDED_MEMORY_GB,
        f"{gigabytes:.1f} GB of memory were available",
        f"free some memory: the stack takes up to {NEEDED_MEMORY_GB:.0f} GB",
    )
    yield disk(settings.market_home)


def disk(home: Path) -> Finding:
    """Check the space, and how fast the data takes it."""
    free = shutil.disk_usage(existing_parent(home)).free
    data = folder_bytes(home)
    days = growth.days_left(home, time.time(), data, free)
    what = f"{free / 1024**3:.1f} GB of disk were free, {data / 1024**2:.0f} MB taken by {home}"
    if days is not None:
        what += (
            f", enough for {days:.0f} days of such growth"
            if days < 3650
            else ", enough for more than ten years of such growth"
        )
    good = free >= NEEDED_DISK_GB * 1024**3 and (days is None or days >= MIN_DAYS)
    return Finding(good, what, "free some disk space, shorten the retention in .env, or move MARKET_HOME")


def stack(settings: OpsSettings) -> Iterator[Finding]:
    """Check the supervisor, the ports and every service."""
    home = settings.market_home
    try:
        pid = Supervisor(home).pid()
    except UnresponsiveSupervisorError as error:
        yield Finding(False, "the supervisor did not answer", str(error))
        return
    if pid is None:
        remaining = find_orphans(home)
        if remaining:
            yield Finding(
                False,
                f"{len(remaining)} processes had lost their supervisor",
                "run ./market up, which ends them and starts the stack again, or ./market down",
            )
            return
        yield Finding(True, "the stack was not running")
        for name, port in load_ports().by_variable().items():
            free = is_free(port)
            yield Finding(
                free,
                f"port {port} ({name}) was {'free' if free else f'taken{holder(port)}'}",
                f"stop that, or set {name} to a free port",
            )
        return
    yield Finding(
        True, f"the supervisor had pid {pid}; feeds so far: {', '.join(used_feeds(home)) or 'none'}"
    )
    statuses = services_status(settings)
    for service in supervised_services(settings):
        status = statuses[service.name]
        what = f"{service.name} was {status['state']}" + (f": {status['reason']}" if status["reason"] else "")
        yield Finding(
            status["ready"], what, f"see ./market logs {service.name}; ./market down and up start it again"
        )


def alerts(settings: OpsSettings) -> Iterator[Finding]:
    """Judge the running stack by the alerts that the watch found."""
    if not is_supervised(settings.market_home):
        return
    watched = state.read(settings.market_home)
    limit = 2 * WatchSettings.load().watch_every_seconds + WATCH_SECONDS
    if watched is None or time.time() - watched.at > limit:
        yield Finding(False, "nobody watched the stack lately", "see ./market logs watch")
        return
    for alert in watched.alerts:
        yield Finding(False, f"{alert.summary} {alert.meaning}", alert.command)
    if not watched.alerts:
        yield Finding(True, f"no alert held {time.time() - watched.at:.0f} s ago")


def log_errors(settings: OpsSettings) -> Iterator[Finding]:
    """Report errors among the last log lines."""
    for service in supervised_services(settings):
        lines = errors(tail(log_file(settings.market_home, service.name), 500))
        if lines:
            yield Finding(
                True, f"{service.name} logged {len(lines)} errors lately, the last one: {lines[-1][:160]}"
            )


def diagnose(settings: OpsSettings) -> Iterator[Finding]:
    """Run every check."""
    yield from machine(settings)
    yield from stack(settings)
    yield from alerts(settings)
    yield from log_errors(settings)
