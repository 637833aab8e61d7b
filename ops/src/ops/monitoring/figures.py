"""The figures of all services, and those that only a watcher knows: up, restarts, memory, disk."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psutil

from ops.data.archive import backup_file
from ops.data.backup_plan import plan_file
from ops.errors import MarketError
from ops.inspection.probes import fetch
from ops.inspection.status import memory
from ops.lifecycle.healing import read_watches, watch_file
from ops.lifecycle.preflight import folder_bytes
from ops.lifecycle.services import Service
from ops.lifecycle.supervision import Process, Supervisor
from ops.monitoring import certificates, growth
from ops.monitoring.samples import Sample, labels, parse
from ops.ports import load_ports
from ops.settings import WatchSettings

START = "market_start_timestamp_seconds"
MEMORY = "process_resident_memory_bytes"  # of Java's processes
PRESTO = {
    "runningQueries": "market_presto_running_queries",
    "queuedQueries": "market_presto_queued_queries",
    "blockedQueries": "market_presto_blocked_queries",
    "activeWorkers": "market_presto_workers",
    "reservedMemory": "market_presto_reserved_memory_bytes",
}
HELP = {
    "market_service_up": "1 while a service answers and says that it works",
    "market_service_start_timestamp_seconds": "When a service was started",
    "market_service_restarts_total": "How often a service was started again",
    "market_service_memory_bytes": "Resident memory of a service and the processes it started",
    "market_service_disk_bytes": "What a service stores",
    "market_disk_free_bytes": "Free space where the home is",
    "market_disk_days_left": "Days until the disk is full if the data grows on as in the last week",
    "market_backup_timestamp_seconds": "When the last backup was made, or planned where none was made yet",
    "market_certificate_days_left": "Days for which browsers take the certificate before Superset",
    "market_presto_running_queries": "Queries that run",
    "market_presto_queued_queries": "Queries that wait",
    "market_presto_blocked_queries": "Queries that wait for memory or data",
    "market_presto_workers": "Workers that answer",
    "market_presto_reserved_memory_bytes": "Memory that queries have reserved",
}


class Round(NamedTuple):
    """What was read at a moment: what the services serve, and what the watch adds."""

    served: list[Sample]
    added: list[Sample]


class Figures:
    """Asks the services, and counts the restarts that nobody else counts."""

    def __init__(self, settings: WatchSettings, services: Sequence[Service]) -> None:
        self._settings = settings
        self._services = services
        self._ports = load_ports().by_variable()
        self._starts: dict[str, float] = {}
        self._restarts = {service.name: 0 for service in services}
        self._started = {service.name: False for service in services}
        self._began = time.monotonic()

    def read(self) -> Round:
        """Return the samples of this moment."""
        with ThreadPoolExecutor(len(self._services)) as pool:
            answers = list(pool.map(self._ask, self._services))
        served = [sample for served, _ in answers for sample in served]
        added = [sample for _, added in answers for sample in added]
        return Round(
            [*served, *self._last_run()], [*added, *self._of_processes(served), *self._of_the_machine()]
        )

    def _ask(self, service: Service) -> tuple[list[Sample], list[Sample]]:
        served: list[Sample] = []
        added: list[Sample] = []
        up = True
        try:
            if service.metrics:
                served += parse(self._fetch(service, service.metrics, "/metrics"), service.name)
            if service.answers:
                answer = self._fetch(service, *service.answers)
                added += presto(json.loads(answer)) if service.name == "presto" else ()
        except (OSError, ValueError, LookupError):
            up = False
        if self._has_started(service, up):
            added.append(Sample("market_service_up", labels(service=service.name), float(up)))
        return served, added

    def _has_started(self, service: Service, up: bool) -> bool:
        """Return whether a service was up once, or has had the time that a start takes at most."""
        late = time.monotonic() - self._began > service.ready_seconds
        self._started[service.name] = self._started[service.name] or up or late
        return self._started[service.name]

    def _fetch(self, service: Service, port: str, path: str) -> str:
        host = self._settings.watch_hosts.format(service=service.name)
        return fetch(f"http://{host}:{self._ports[port]}{path}")

    def _of_processes(self, served: Sequence[Sample]) -> Iterator[Sample]:
        """Yield starts, restarts and memory, the watch's own too.

        Where nobody supervises, as in a container, services that serve metrics say when they were started,
        another time of start tells a restart, and only processes of Java say how large they are.
        """
        processes = self._processes()
        watches = read_watches(watch_file(self._settings.market_home))
        starts, sizes = (
            {dict(sample.labels)["service"]: sample.value for sample in served if sample.name == name}
            for name in (START, MEMORY)
        )
        for service in self._services:
            name, own = service.name, labels(service=service.name)
            start = starts.get(name)
            if start and self._starts.setdefault(name, start) != start:
                self._starts[name] = start
                self._restarts[name] += 1
            restarts = watches[name].restarts if name in watches else self._restarts[name]
            yield Sample("market_service_restarts_total", own, restarts)
            started = processes[name].started if name in processes else start
            if started is not None:
                yield Sample("market_service_start_timestamp_seconds", own, started)
            size = memory(processes[name].pid) * 1024**2 if name in processes else sizes.get(name)
            if size is not None:
                yield Sample("market_service_memory_bytes", own, size)
        process, own = psutil.Process(), labels(service="watch")
        yield Sample("market_service_up", own, 1.0)
        yield Sample("market_service_start_timestamp_seconds", own, process.create_time())
        yield Sample("market_service_memory_bytes", own, process.memory_info().rss)

    def _processes(self) -> dict[str, Process]:
        supervisor = Supervisor(self._settings.market_home)
        try:
            processes = supervisor.processes() if supervisor.pid() is not None else {}
        except MarketError:
            return {}
        return {name: process for name, process in processes.items() if process.pid}

    def _of_the_machine(self) -> Iterator[Sample]:
        home, now, own = self._settings.market_home, time.time(), labels(service="watch")
        free = shutil.disk_usage(home).free
        yield Sample("market_disk_free_bytes", own, free)
        for service in self._services:
            folder = home / "data" / service.name
            if folder.exists():
                size = folder_bytes(folder)
                yield Sample("market_service_disk_bytes", labels(service=service.name), size)
        size = folder_bytes(home)
        growth.note_size(home, now, size)
        days = growth.days_left(home, now, size, free)
        if days is not None:
            yield Sample("market_disk_days_left", own, days)
        url = self._settings.superset_public_url
        lasting = certificates.days_left(url, now) if url else None
        if lasting is not None:
            host = labels(host=urlsplit(url or "").hostname or "")
            yield Sample("market_certificate_days_left", own | host, lasting)
        for file in (backup_file(home), plan_file(home)):
            if file.exists():
                yield Sample("market_backup_timestamp_seconds", own, file.stat().st_mtime)
                break

    def _last_run(self) -> Iterator[Sample]:
        """Yield what the last forecast left behind where systemd starts it: no process serves it then."""
        if self._settings.market_scheduler != "systemd":
            return
        try:
            path = self._settings.market_home / "run" / "gbm-analysis-outcome.json"
            outcome: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError):
            return
        own = labels(service="gbm-analysis")
        yield Sample("market_gbm_last_run_timestamp_seconds", own, float(outcome["ended"]))
        failed = own | labels(result="failed")
        yield Sample("market_gbm_last_run_symbols", failed, float(outcome["failed"]))


def presto(cluster: dict[str, float]) -> Iterator[Sample]:
    """Yield Presto's own figures of its queries."""
    for name, metric in PRESTO.items():
        yield Sample(metric, labels(service="presto"), float(cluster[name]))
