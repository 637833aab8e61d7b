"""The state of every service and the pipeline's figures."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

import psutil

from ops.errors import MarketError
from ops.inspection.metrics import read_info, read_metrics
from ops.inspection.probes import LOCALHOST
from ops.lifecycle.healing import UNWATCHED, Watch, read_watches, watch_file
from ops.lifecycle.services import SERVICES, Service, present_services
from ops.lifecycle.stack import read_state
from ops.lifecycle.supervision import Process, Supervisor
from ops.monitoring import state
from ops.ports import load_ports
from ops.settings import OpsSettings

State = Literal["MISSING", "STARTING", "READY", "UNHEALTHY", "EXITED"]
# A server of this machine that is ready answers within a second; a status is to be there soon.
ANSWER_SECONDS = 5.0


class ServiceStatus(TypedDict):
    """One service; what is unknown is None."""

    state: State
    pid: int | None
    port: int | None
    ready: bool
    uptime_s: float | None
    rss_mb: float | None
    reason: str | None
    restarts: int
    restarted_at: str | None
    restart_reason: str | None


def state_of(
    process: Process | None, reason: str | None, was_ready: bool, uptime: float, ready_seconds: float
) -> State:
    """Return the state of a service; `reason` says why its probe failed, None that it did not."""
    if process is None or process.state == "STOPPED":
        return "MISSING"
    if process.pid == 0:
        return "EXITED"
    if reason is None:
        return "READY"
    return "UNHEALTHY" if was_ready or uptime > ready_seconds else "STARTING"


def memory(pid: int) -> float:
    """Return the resident memory of a process and its descendants in MB."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return 0.0
    return round(total / 1024**2, 1)


def unsupervised(settings: OpsSettings, service: Service) -> Process | None:
    """Return the process that systemd started, by what its metrics say; None when it does not answer."""
    if service.port is None:
        return None
    metric = f"market_{service.name.replace('-', '_')}_info"
    pid = int(read_info(service.port, metric, settings.market_home).get("pid", 0))
    try:
        return Process("RUNNING", pid, psutil.Process(pid).create_time()) if pid else None
    except psutil.Error:
        return None


def service_status(
    settings: OpsSettings,
    service: Service,
    process: Process | None,
    ready_pids: Mapping[str, int],
    watch: Watch = UNWATCHED,
) -> ServiceStatus:
    """Probe one service."""
    port = load_ports().by_variable()[service.port] if service.port else None
    if process is None and service.scheduled:
        process = unsupervised(settings, service)
    if process is None or process.pid == 0:
        state = state_of(process, "no process", False, 0, 0)
        return ServiceStatus(
            state=state,
            pid=None,
            port=port,
            ready=False,
            uptime_s=None,
            rss_mb=None,
            reason=None,
            restarts=watch.restarts,
            restarted_at=watch.restart_time,
            restart_reason=watch.reason,
        )
    reason = service.probe(settings, process.pid)
    uptime = max(0.0, time.time() - process.started)
    was_ready = process.pid in (ready_pids.get(service.name), watch.pid if watch.was_ready else None)
    state = state_of(process, reason, was_ready, uptime, service.ready_seconds)
    return ServiceStatus(
        state=state,
        pid=process.pid,
        port=port,
        ready=reason is None,
        uptime_s=round(uptime, 1),
        rss_mb=memory(process.pid),
        reason=reason,
        restarts=watch.restarts,
        restarted_at=watch.restart_time,
        restart_reason=watch.reason,
    )


def kafka_lag(settings: OpsSettings) -> int | None:
    """Return how many messages the stream processor has not stored yet, or None when Kafka does not say."""
    from confluent_kafka import Consumer, KafkaException, TopicPartition

    from common.kafka import TRADES_GROUP
    from ops.clients import kafka_config

    consumer = Consumer(kafka_config(settings) | {"group.id": TRADES_GROUP, "enable.auto.commit": False})
    try:
        topic = consumer.list_topics(settings.kafka_topic_name, timeout=ANSWER_SECONDS).topics[
            settings.kafka_topic_name
        ]
        partitions = [TopicPartition(settings.kafka_topic_name, number) for number in topic.partitions]
        lag = 0
        for partition in consumer.committed(partitions, timeout=ANSWER_SECONDS):
            low, high = consumer.get_watermark_offsets(partition, timeout=ANSWER_SECONDS)
            lag += high - max(partition.offset, low)
        return lag
    except KafkaException:
        return None
    finally:
        consumer.close()


def newest_trade_age(settings: OpsSettings) -> float | None:
    """Return how many seconds ago the newest stored trade was made, or None when there is none."""
    from ops.clients import cassandra_session

    try:
        with cassandra_session(settings) as session:
            newest = session.execute("SELECT max(last_seen) AS newest FROM symbols").one().newest
    except MarketError:
        return None
    return round((datetime.now(UTC) - newest.replace(tzinfo=UTC)).total_seconds(), 3) if newest else None


def pipeline(settings: OpsSettings, services: Mapping[str, ServiceStatus]) -> dict[str, float | int | None]:
    """Return the pipeline's figures; counters since the processes started, None where nobody says."""
    collector = _counters("COLLECTOR_METRICS_PORT", "market_collector")
    processor = _counters("STREAM_PROCESSOR_METRICS_PORT", "market_stream_processor")
    dead = [
        count
        for count in (collector("trades_dead_lettered"), processor("dead_lettered"))
        if count is not None
    ]
    return {
        "trades_received": collector("trades_received"),
        "trades_published": collector("trades_published"),
        "trades_stored": processor("trades_stored"),
        "kafka_lag": kafka_lag(settings) if services["kafka"]["ready"] else None,
        "newest_trade_age_s": newest_trade_age(settings) if services["cassandra"]["ready"] else None,
        "late": processor("late"),
        "dead_lettered": sum(dead) if dead else None,
    }


def _counters(port: str, prefix: str) -> Callable[[str], int | None]:
    """Return a lookup of a service's counters; what nobody says is None."""
    found = read_metrics(port)

    def counter(name: str) -> int | None:
        value = found.get(f"{prefix}_{name}_total")
        return None if value is None else int(value)

    return counter


def urls(settings: OpsSettings) -> dict[str, str]:
    """Return where a browser finds the pages."""
    ports = load_ports().by_variable()
    public = {"superset": settings.superset_public_url} if settings.superset_public_url else {}
    return {
        service.page: f"http://{LOCALHOST}:{ports[service.port]}"
        for service in SERVICES
        if service.page and service.port
    } | public


def services_status(settings: OpsSettings) -> dict[str, ServiceStatus]:
    """Probe every service at once."""
    supervisor = Supervisor(settings.market_home)
    processes = supervisor.processes() if supervisor.pid() is not None else {}
    ready_pids = read_state(settings.market_home).get("ready", {})
    watches = read_watches(watch_file(settings.market_home))
    services = present_services(settings)

    def probed(service: Service) -> ServiceStatus:
        watch = watches.get(service.name, UNWATCHED)
        return service_status(settings, service, processes.get(service.name), ready_pids, watch)

    with ThreadPoolExecutor(len(services)) as pool:
        return {
            service.name: status for service, status in zip(services, pool.map(probed, services), strict=True)
        }


def status(settings: OpsSettings) -> dict[str, Any]:
    """Return all that `market status --json` prints."""
    services = services_status(settings)
    watched = state.read(settings.market_home)
    return {
        "services": services,
        "pipeline": pipeline(settings, services),
        "urls": urls(settings),
        "alerts": [alert._asdict() for alert in watched.alerts] if watched else None,
    }


def text(status: Mapping[str, Any]) -> str:
    """Return a status as lines for a terminal."""
    lines = [f"{'SERVICE':<18}{'STATE':<11}{'PID':>8}{'PORT':>7}{'UPTIME':>10}{'RSS MB':>8}"]
    for name, service in status["services"].items():
        uptime = "" if service["uptime_s"] is None else f"{service['uptime_s']:.0f} s"
        cells = (service["pid"] or "", service["port"] or "", uptime, service["rss_mb"] or "")
        row = "".join(f"{cell:>{width}}" for cell, width in zip(cells, (8, 7, 10, 8), strict=True))
        lines.append(f"{name:<18}{service['state']:<11}{row}  {service['reason'] or ''}".rstrip())
    lines.extend(
        f"restarts of {name}: {service['restarts']}, the last at {service['restarted_at']}: "
        f"{service['restart_reason']}"
        for name, service in status["services"].items()
        if service["restarts"]
    )
    lines.append("")
    for name, figure in status["pipeline"].items():
        lines.append(f"{name:<22}{'unknown' if figure is None else figure}")
    lines.append("")
    lines.extend(f"{name:<12}{url}" for name, url in status["urls"].items())
    if status.get("alerts"):
        lines.append("")
        lines.extend(f"{alert['severity']}: {alert['summary']}" for alert in status["alerts"])
    return "\n".join(lines)
