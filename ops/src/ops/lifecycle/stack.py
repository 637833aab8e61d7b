"""Start and stop of the whole stack."""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from common.settings import Feed
from ops.errors import MarketError
from ops.inspection.logs import last_error, log_file, tail
from ops.install import dependencies
from ops.install.secrets import ensure_secrets
from ops.lifecycle import orphans, preflight
from ops.lifecycle.services import SERVICES, Service, dependants, supervised_services, waits_for
from ops.lifecycle.supervision import Supervisor, socket_file, stack_environment, start_supervisor
from ops.ports import load_ports
from ops.settings import OpsSettings, cache_folder

# Not felt in a start that takes half a minute.
POLL_SECONDS = 0.25
# The other command may be the first `up`, which installs everything: minutes on a slow network.
WAIT_SECONDS = 600.0
# Its services have ended before, so that the supervisor only has to close its files.
END_SECONDS = 60.0
# A service that ends at its first start may find a server that was not there yet; more often means a fault.
MOST_EXITS = 3
REMOVED = ("data", "journal", "logs", "run", "tmp")

Report = Callable[[str], None]


@contextmanager
def exclusive_lock(home: Path, report: Report) -> Iterator[None]:
    """Keep two commands from changing one home at once."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        deadline = time.monotonic() + WAIT_SECONDS
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise MarketError(
                        f"Another ./market command had been at work in {home} for too long."
                    ) from None
                if not told:
                    report(f"Waiting for another ./market command in {home} ...")
                    told = True
                time.sleep(POLL_SECONDS)
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
    if Supervisor(home).pid() is not None:
        os.environ.update({name: str(port) for name, port in read_state(home).get("ports", {}).items()})


def write_state(home: Path, state: dict[str, Any]) -> None:
    """Keep what the stack was started with."""
    draft = state_file(home).with_suffix(".tmp")
    draft.write_text(json.dumps(state))
    draft.replace(state_file(home))


def used_feeds(home: Path) -> list[str]:
    """Return which feeds ever filled this home's store."""
    try:
        return (home / "data" / "feeds").read_text().split()
    except FileNotFoundError:
        return []


def note_feed(home: Path, feed: Feed) -> None:
    """Remember that a feed fills this home's store."""
    used = used_feeds(home)
    if feed not in used:
        (home / "data" / "feeds").write_text("".join(f"{name}\n" for name in [*used, feed]))


def forget_run(home: Path) -> None:
    """Remove what only a running stack needs: signs of life, what it was started with, the configuration."""
    for file in (*(home / "run").glob("*.json"), home / "run" / "supervisord.conf", socket_file(home)):
        file.unlink(missing_ok=True)


def up(settings: OpsSettings, wanted: Feed | None, keep: bool, report: Report) -> Feed:
    """Bring the stack to readiness and return its feed; on a running stack nothing is changed."""
    home = settings.market_home
    preflight.check_home(home)
    with exclusive_lock(home, report):
        if Supervisor(home).pid() is None:
            feed = wanted or settings.feed
            settings = begin(settings, feed, keep, report)
        else:
            feed = read_state(home).get("feed", settings.feed)
            if wanted not in (None, feed):
                raise MarketError(
                    f"The stack was running with the {feed} feed: "
                    f"stop it with ./market down, then take --feed {wanted}."
                )
        start_services(settings, supervised_services(settings), report)
        if feed == "demo" and settings.market_scheduler == "internal":
            from ops.lifecycle.first_forecast import ensure_forecast

            installed = dependencies.ensure_all(cache_folder(), report)
            ensure_forecast(settings, stack_environment(settings, feed, installed, os.environ), report)
        return feed


def begin(settings: OpsSettings, feed: Feed, keep: bool, report: Report) -> OpsSettings:
    """Check, install, and start the supervisor, but no service; return the settings as they are then."""
    home = settings.market_home
    preflight.check_feed(feed, used_feeds(home), keep, settings.finnhub_api_token is not None)
    preflight.check_collector(feed, report)
    remaining = orphans.find_orphans(home)
    if remaining:
        report(f"Ending what remained: {orphans.describe(remaining)} ...")
        orphans.end(remaining)
    os.environ.update({name: str(port) for name, port in preflight.choose_ports(load_ports()).items()})
    ports = load_ports().by_variable()
    preflight.check_ports(ports)
    installed = dependencies.ensure_all(cache_folder(), report)
    for folder in REMOVED:
        (home / folder).mkdir(exist_ok=True)
    ensure_secrets(home / "secrets.env")
    note_feed(home, feed)
    forget_run(home)
    settings = OpsSettings.load()
    start_supervisor(settings, supervised_services(settings), feed, installed)
    write_state(home, {"feed": feed, "ports": ports, "ready": {}})
    return settings


def start_services(settings: OpsSettings, services: Sequence[Service], report: Report) -> None:
    """Start every service once all it depends on is ready; raise MarketError about the first that fails."""
    ready = {service.name: threading.Event() for service in services}
    stopped = threading.Event()
    began = time.monotonic()
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
            for one in runs:
                one.result()
        finally:
            stopped.set()
    write_state(settings.market_home, {**read_state(settings.market_home), "ready": pids})
    report(f"All {len(services)} services were ready after {time.monotonic() - began:.0f} s.")


def wait_until_ready(settings: OpsSettings, service: Service, stopped: threading.Event) -> int | None:
    """Start a service and return its pid once its probe is content; None when another service failed."""
    home = settings.market_home
    supervisor = Supervisor(home)
    log = log_file(home, service.name)
    written = log.stat().st_size if log.exists() else 0
    if supervisor.processes()[service.name].state not in ("RUNNING", "STARTING", "BACKOFF"):
        supervisor.start(service.name)
    deadline = time.monotonic() + service.ready_seconds
    seen: list[int] = []
    reason: str | None = "it had not started"
    while not stopped.is_set():
        process = supervisor.processes()[service.name]
        if process.pid and process.pid not in seen:
            seen.append(process.pid)
        if len(seen) > MOST_EXITS or process.state == "FATAL":
            said = last_error(tail(log, 400, written)) or "its log was empty"
            raise MarketError(
                f"{service.name} ended again and again: {said[:400].rstrip('.')} "
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
    supervisor = Supervisor(home)
    pid = supervisor.pid()
    if pid is not None:
        running = supervisor.processes()
        services = [service for service in SERVICES if service.name in running]
        stop_in_order(home, services, report)
        supervisor.shutdown()
        deadline = time.monotonic() + END_SECONDS
        while psutil.pid_exists(pid):
            if time.monotonic() > deadline:
                raise MarketError(f"The supervisor (pid {pid}) did not end within {END_SECONDS:.0f} s.")
            time.sleep(POLL_SECONDS)
    remaining = orphans.find_orphans(home)
    if remaining:
        report(f"Ending what remained: {orphans.describe(remaining)} ...")
        orphans.end(remaining)
    forget_run(home)
    report("Stopped." if pid is not None or remaining else "Nothing was running.")


def stop_in_order(home: Path, services: Sequence[Service], report: Report) -> None:
    """Stop services in parallel where none depends on the other."""
    ended = {service.name: threading.Event() for service in services}

    def run(service: Service) -> None:
        try:
            for name in dependants(service, services):
                ended[name].wait()
            began = time.monotonic()
            Supervisor(home).stop(service.name)
            report(f"✔ {service.name:<17}stopped in {time.monotonic() - began:.1f} s")
        finally:
            ended[service.name].set()

    with ThreadPoolExecutor(len(services)) as pool:
        for one in [pool.submit(run, service) for service in services]:
            one.result()


def reset(settings: OpsSettings, report: Report) -> None:
    """Remove the data, after a stop; the passwords stay."""
    home = settings.market_home
    if not home.exists():
        report("There was nothing to remove.")
        return
    with exclusive_lock(home, report):
        stop(home, report)
        for folder in REMOVED:
            shutil.rmtree(home / folder, ignore_errors=True)
    report(f"Removed the data in {home}.")
