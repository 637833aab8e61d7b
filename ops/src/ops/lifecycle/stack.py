"""Start and stop of the whole stack."""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from common.settings import Feed
from common.systemd import notify
from ops.errors import MarketError
from ops.inspection.logs import last_error, log_file, tail
from ops.install import dependencies
from ops.install.bootstrap import take_lock
from ops.install.monitoring import ensure_monitoring
from ops.install.prune import note
from ops.install.secrets import FILE, ensure_secrets, forget, share
from ops.lifecycle import orphans, preflight
from ops.lifecycle.services import ALL_SERVICES, Service, dependants, supervised_services, waits_for
from ops.lifecycle.supervision import (
    Supervisor,
    UnresponsiveSupervisorError,
    secrets_folder,
    socket_file,
    stack_environment,
    start_supervisor,
)
from ops.ports import load_ports
from ops.report import Report
from ops.settings import OpsSettings, cache_folder

# Not felt in a start that takes half a minute.
POLL_SECONDS = 0.25
# The other command may be the first `up`, which installs everything: minutes on a slow network.
LOCK_SECONDS = 600.0
# Its services have ended before, so that the supervisor only has to close its files.
END_SECONDS = 60.0
# A service that ends at its first start may find a server that was not there yet; more often means a fault.
MAX_EXITS = 3
FOLDERS = ("data", "journal", "logs", "run", "tmp")


@contextmanager
def exclusive_lock(home: Path, report: Report) -> Iterator[None]:
    """Keep two commands from changing one home at once."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.stat().st_uid == os.geteuid():
        home.chmod(0o700)
    with os.fdopen(os.open(home / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        waiting = f"Waiting for another ./market command in {home} ..."
        if not take_lock(lock.fileno(), LOCK_SECONDS, waiting, report):
            raise MarketError(
                f"Another ./market command worked in {home} for more than {LOCK_SECONDS:.0f} s: "
                "wait for it, or end it, and try again."
            )
        yield


def state_file(home: Path) -> Path:
    """Return where a running stack keeps what it was started with."""
    return home / "run" / "stack.json"


def read_state(home: Path) -> dict[str, Any]:
    """Return what the stack was started with; empty when it was not."""
    try:
        return dict(json.loads(state_file(home).read_text()))
    except (OSError, ValueError):
        return {}


def adopt_running_ports(home: Path) -> None:
    """Let this process use the ports of the running stack, whatever the settings say by now."""
    if is_supervised(home):
        os.environ.update({name: str(port) for name, port in read_state(home).get("ports", {}).items()})


def is_supervised(home: Path) -> bool:
    """Return whether a supervisor runs, though it may not answer."""
    try:
        return Supervisor(home).pid() is not None
    except UnresponsiveSupervisorError:
        return True


def write_state(home: Path, state: dict[str, Any]) -> None:
    """Keep what the stack was started with."""
    temporary = state_file(home).with_suffix(".tmp")
    temporary.write_text(json.dumps(state))
    temporary.replace(state_file(home))


def used_feeds(home: Path) -> list[str]:
    """Return which feeds ever filled this home's store."""
    try:
        return (home / "data" / "feeds").read_text().split()
    except FileNotFoundError:
        return []


def add_used_feed(home: Path, feed: Feed) -> None:
    """Remember that a feed fills this home's store."""
    used = used_feeds(home)
    if feed not in used:
        (home / "data" / "feeds").write_text("".join(f"{name}\n" for name in [*used, feed]))


def remove_run_files(home: Path) -> None:
    """Remove what only a running stack needs: heartbeats, what it was started with, the configuration."""
    for file in (*(home / "run").glob("*.json"), home / "run" / "supervisord.conf", socket_file(home)):
        file.unlink(missing_ok=True)


def up(settings: OpsSettings, requested_feed: Feed | None, keep: bool, report: Report) -> Feed:
    """Start the stack, wait until it is ready and return its feed; a running stack is not changed."""
    home = settings.market_home
    preflight.check_home(home)
    with exclusive_lock(home, report):
        begins = Supervisor(home).pid() is None
        if begins:
            feed = requested_feed or settings.feed
            settings = begin(settings, feed, keep, report)
        else:
            feed = read_state(home).get("feed", settings.feed)
            if requested_feed not in (None, feed):
                raise MarketError(
                    f"The stack was running with the {feed} feed: "
                    f"stop it with ./market down, then take --feed {requested_feed}."
                )
        start_services(settings, supervised_services(settings), report)
        if begins:  # a server that ran before may still have to take its new password
            forget_old_passwords(home)
        # To a systemd that started this command, the supervisor is what runs from now on.
        notify(f"READY=1\nMAINPID={Supervisor(home).pid()}")
        if feed == "demo" and settings.market_scheduler == "internal":
            from ops.lifecycle.first_forecast import ensure_forecast

            installed = dependencies.ensure_all(cache_folder(), report)
            ensure_forecast(settings, stack_environment(settings, feed, installed, os.environ), report)
        return feed


def forget_old_passwords(home: Path) -> None:
    """Remove what the servers needed to take new passwords."""
    forget(home / FILE)
    share(home / FILE, secrets_folder(home))


def begin(settings: OpsSettings, feed: Feed, keep: bool, report: Report) -> OpsSettings:
    """Check, install, and start the supervisor, but no service; return the settings as they are then."""
    home = settings.market_home
    preflight.check_feed(feed, used_feeds(home), keep, settings.finnhub_api_token is not None)
    preflight.check_collector(feed, report)
    end_orphans(home, report)
    os.environ.update({name: str(port) for name, port in preflight.choose_ports(load_ports()).items()})
    ports = load_ports().by_variable()
    preflight.check_ports(ports)
    installed = dependencies.ensure_all(cache_folder(), report)
    note(cache_folder())
    if settings.market_monitoring == "on":
        ensure_monitoring(report)
    for folder in FOLDERS:
        (home / folder).mkdir(exist_ok=True)
    ensure_secrets(home / FILE)
    share(home / FILE, secrets_folder(home))
    add_used_feed(home, feed)
    remove_run_files(home)
    settings = OpsSettings.load()
    start_supervisor(settings, supervised_services(settings), feed, installed)
    write_state(home, {"feed": feed, "ports": ports, "ready": {}})
    return settings


def start_services(settings: OpsSettings, services: Sequence[Service], report: Report) -> None:
    """Start every service once all it depends on is ready; raise MarketError about the first that fails."""
    ready = {service.name: threading.Event() for service in services}
    stopped = threading.Event()
    started_at = time.monotonic()
    pids: dict[str, int] = {}

    def run(service: Service) -> None:
        try:
            for name in waits_for(service, services):
                while not ready[name].wait(POLL_SECONDS):
                    if stopped.is_set():
                        return
            started = time.monotonic()
            pid = wait_until_ready(settings, service, stopped)
            if pid is not None:
                pids[service.name] = pid
                ready[service.name].set()
                report(f"✔ {service.name:<17}{time.monotonic() - started:5.1f} s")
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(len(services)) as pool:
        try:
            runs = [pool.submit(run, service) for service in services]
            for run_of_service in runs:
                run_of_service.result()
        finally:
            stopped.set()
    write_state(settings.market_home, {**read_state(settings.market_home), "ready": pids})
    report(f"All {len(services)} services were ready after {time.monotonic() - started_at:.0f} s.")


def wait_until_ready(settings: OpsSettings, service: Service, stopped: threading.Event) -> int | None:
    """Start a service and return its pid once its probe succeeds; None when another service failed."""
    home = settings.market_home
    supervisor = Supervisor(home)
    log = log_file(home, service.name)
    written = log.stat().st_size if log.exists() else 0
    if supervisor.processes()[service.name].state not in ("RUNNING", "STARTING", "BACKOFF"):
        supervisor.start(service.name)
    deadline = time.monotonic() + service.ready_seconds
    pids: set[int] = set()
    reason: str | None = "it had not started"
    while not stopped.is_set():
        process = supervisor.processes()[service.name]
        if process.pid:
            pids.add(process.pid)
        if len(pids) > MAX_EXITS or process.state == "FATAL":
            error = last_error(tail(log, 400, written)) or "its log was empty"
            raise MarketError(
                f"{service.name} ended again and again: {error[:400].rstrip('.')} "
                f"(./market logs {service.name} shows more)."
            )
        if process.pid:
            reason = service.probe(settings, process.pid)
            if reason is None:
                return process.pid
        if time.monotonic() > deadline:
            lines = "\n  ".join(tail(log, 8, written))
            raise MarketError(
                f"{service.name} was not ready within {service.ready_seconds} s: {reason} "
                f"(./market logs {service.name} shows more). Its last lines:\n  {lines}"
            )
        stopped.wait(POLL_SECONDS)
    return None


def down(settings: OpsSettings, report: Report) -> None:
    """Stop everything, each service after all that depend on it; nothing is lost."""
    home = settings.market_home
    if not home.exists():
        report("Nothing was running.")
        return
    with exclusive_lock(home, report):
        stop(home, report)


def stop(home: Path, report: Report) -> None:
    """Stop the services, the supervisor, and what outlived an earlier one."""
    try:
        pid = Supervisor(home).pid()
    except UnresponsiveSupervisorError:
        report("The supervisor did not answer; ending it with its services ...")
        pid = None
    if pid is not None:
        running = Supervisor(home).processes()
        stop_in_order(home, [service for service in ALL_SERVICES if service.name in running], report)
        Supervisor(home).shutdown()
        wait_until_ended(pid)
    was_running = end_orphans(home, report) or pid is not None
    remove_run_files(home)
    report("Stopped." if was_running else "Nothing was running.")


def wait_until_ended(pid: int) -> None:
    """Wait for the end of the supervisor; raise MarketError when it does not end in time."""
    try:
        alive = orphans.wait([psutil.Process(pid)], END_SECONDS)
    except psutil.NoSuchProcess:
        return
    if alive:
        raise MarketError(f"The supervisor (pid {pid}) did not end within {END_SECONDS:.0f} s.")


def end_orphans(home: Path, report: Report) -> bool:
    """End the processes that outlived their supervisor; return whether there were any."""
    remaining = orphans.find_orphans(home)
    if remaining:
        report(f"Ending orphans: {orphans.describe(remaining)} ...")
        orphans.end(remaining)
    return bool(remaining)


def stop_in_order(home: Path, services: Sequence[Service], report: Report) -> None:
    """Stop services in parallel where none depends on the other.

    No wait in here is without a limit: the supervisor answers each stop within the service's own time.
    """
    ended = {service.name: threading.Event() for service in services}

    def run(service: Service) -> None:
        try:
            for name in dependants(service, services):
                ended[name].wait()
            started = time.monotonic()
            Supervisor(home).stop(service.name, service.stop_seconds)
            report(f"✔ {service.name:<17}stopped in {time.monotonic() - started:.1f} s")
        finally:
            ended[service.name].set()

    with ThreadPoolExecutor(len(services)) as pool:
        for run_of_service in [pool.submit(run, service) for service in services]:
            run_of_service.result()


def reset(settings: OpsSettings, report: Report) -> None:
    """Stop, and remove the data, not the passwords; raise MarketError about what could not be removed."""
    home = settings.market_home
    if not home.exists():
        report("There was nothing to remove.")
        return
    with exclusive_lock(home, report):
        stop(home, report)
        for folder in FOLDERS:
            try:
                shutil.rmtree(home / folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise MarketError(
                    f"{error.filename or home / folder} could not be removed ({error.strerror}): "
                    "remove it yourself, then run ./market reset --yes again."
                ) from None
    report(f"Removed the data in {home}.")
