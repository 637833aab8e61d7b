"""The services of the stack: how each is started, what it waits for, and when it is ready."""

from collections.abc import Iterable
from dataclasses import dataclass

from common.hangs import START_SECONDS
from ops.inspection import probes
from ops.settings import OpsSettings

# What has not ended by then is killed, which costs a repair at the next start and loses nothing.
STOP_SECONDS = 30
# These write what they hold in memory first: Kafka its segments, Cassandra its tables, the stream its batch.
FLUSH_SECONDS = 60
# A JVM that collects its memory, on a machine that starts nine services, answers again long before.
HANG_SECONDS = 120


@dataclass(frozen=True)
class Service:
    """One service, named like the folder of its component.

    `command` is relative to the root, and `{python}` stands for the environment's Python; `port` is the
    variable of the port that a user or a monitoring system asks; `page` is what a user calls the web page
    there; `passwords` are generated at the first start, and beside them it sees only those that it `reads`.
    `metrics` is the variable of the port that serves its figures; `answers` are a port and a path that answer
    over HTTP, without a login, while it works. One that was ready and gives no answer for more than
    `hang_seconds` hangs, and is started anew.
    """

    name: str
    command: tuple[str, ...]
    probe: probes.Probe
    depends_on: tuple[str, ...] = ()
    port: str | None = None
    page: str | None = None
    passwords: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    metrics: str | None = None
    answers: tuple[str, str] | None = None
    scheduled: bool = False
    ready_seconds: int = START_SECONDS
    stop_seconds: int = STOP_SECONDS
    hang_seconds: int = HANG_SECONDS


SERVICES = (
    Service(
        "kafka",
        ("kafka/entrypoint.sh",),
        probes.kafka,
        port="KAFKA_PORT",
        passwords=("KAFKA_ADMIN_PASSWORD", "KAFKA_OPS_PASSWORD"),
        reads=("KAFKA_COLLECTOR_PASSWORD", "KAFKA_STREAM_PROCESSOR_PASSWORD", "KAFKA_STREAMLIT_PASSWORD"),
        metrics="KAFKA_METRICS_PORT",
        stop_seconds=FLUSH_SECONDS,
    ),
    Service(
        "cassandra",
        ("cassandra/entrypoint.sh",),
        probes.cassandra,
        port="CASSANDRA_PORT",
        passwords=("CASSANDRA_ADMIN_PASSWORD", "CASSANDRA_OPS_PASSWORD"),
        reads=(
            "CASSANDRA_PRESTO_PASSWORD",
            "CASSANDRA_STREAM_PROCESSOR_PASSWORD",
            "CASSANDRA_GBM_ANALYSIS_PASSWORD",
            "CASSANDRA_STREAMLIT_PASSWORD",
        ),
        metrics="CASSANDRA_METRICS_PORT",
        stop_seconds=FLUSH_SECONDS,
    ),
    Service(
        "presto",
        ("presto/entrypoint.sh",),
        probes.presto,
        ("cassandra",),
        port="PRESTO_PORT",
        page="presto",
        passwords=("CASSANDRA_PRESTO_PASSWORD", "PRESTO_SHARED_SECRET"),
        answers=("PRESTO_PORT", "/v1/cluster"),
    ),
    Service(
        "stream-processor",
        ("{python}", "-m", "stream_processor"),
        probes.heartbeat("stream-processor"),
        ("kafka", "cassandra"),
        port="SPARK_UI_PORT",
        metrics="STREAM_PROCESSOR_METRICS_PORT",
        page="spark",
        passwords=(
            "KAFKA_STREAM_PROCESSOR_PASSWORD",
            "CASSANDRA_STREAM_PROCESSOR_PASSWORD",
            "SPARK_SECRET_KEY",
        ),
        answers=("SPARK_UI_PORT", "/api/v1/version"),
        stop_seconds=FLUSH_SECONDS,
    ),
    Service(
        "feed",
        ("{python}", "-m", "feed"),
        probes.http_health("FEED_PORT", "/health"),
        port="FEED_PORT",
        answers=("FEED_PORT", "/health"),
        hang_seconds=60,
    ),
    Service(
        "collector",
        ("{python}", "-m", "collector"),
        probes.health("COLLECTOR_METRICS_PORT"),
        ("kafka", "feed"),
        port="COLLECTOR_METRICS_PORT",
        passwords=("KAFKA_COLLECTOR_PASSWORD",),
        reads=("KAFKA_OPS_PASSWORD", "CASSANDRA_OPS_PASSWORD"),  # for the replays that start in its container
        metrics="COLLECTOR_METRICS_PORT",
        answers=("COLLECTOR_METRICS_PORT", "/health"),
        scheduled=True,
        hang_seconds=60,  # what comes meanwhile is lost
    ),
    Service(
        "gbm-analysis",
        ("{python}", "-m", "gbm_analysis", "--every-hour"),
        probes.heartbeat("gbm-analysis"),
        ("cassandra",),
        port="GBM_ANALYSIS_METRICS_PORT",
        passwords=("CASSANDRA_GBM_ANALYSIS_PASSWORD",),
        reads=("SPARK_SECRET_KEY",),
        metrics="GBM_ANALYSIS_METRICS_PORT",
        answers=("GBM_ANALYSIS_METRICS_PORT", "/health"),
        scheduled=True,
    ),
    Service(
        "superset",
        ("superset/entrypoint.sh",),
        probes.http_health("SUPERSET_PORT", "/health"),
        port="SUPERSET_PORT",
        page="superset",
        answers=("SUPERSET_PORT", "/health"),
        passwords=("SUPERSET_ADMIN_PASSWORD", "SUPERSET_VIEWER_PASSWORD", "SUPERSET_SECRET_KEY"),
        hang_seconds=300,  # every thread may wait for a Presto that hangs itself, a minute for each query
    ),
    Service(
        "streamlit",
        ("streamlit/entrypoint.sh",),
        probes.http_health("STREAMLIT_PORT", "/_stcore/health"),
        port="STREAMLIT_PORT",
        page="streamlit",
        answers=("STREAMLIT_PORT", "/_stcore/health"),
        passwords=("KAFKA_STREAMLIT_PASSWORD", "CASSANDRA_STREAMLIT_PASSWORD"),
    ),
    Service(
        "watch",
        ("{python}", "-m", "ops.monitoring"),
        probes.health("WATCH_METRICS_PORT"),
        port="WATCH_METRICS_PORT",
        reads=("CASSANDRA_OPS_PASSWORD",),  # for alerts about prices
        metrics="WATCH_METRICS_PORT",
    ),
)
MONITORING = (
    Service(
        "prometheus",
        ("prometheus/entrypoint.sh",),
        probes.http_health("PROMETHEUS_PORT", "/-/ready"),
        port="PROMETHEUS_PORT",
        answers=("PROMETHEUS_PORT", "/-/ready"),
    ),
    Service(
        "alertmanager",
        ("alertmanager/entrypoint.sh",),
        probes.http_health("ALERTMANAGER_PORT", "/-/ready"),
        port="ALERTMANAGER_PORT",
        answers=("ALERTMANAGER_PORT", "/-/ready"),
    ),
)
"""Run beside the stack where `MARKET_MONITORING` says so."""
ALL_SERVICES = (*SERVICES, *MONITORING)


def present_services(settings: OpsSettings) -> tuple[Service, ...]:
    """Return the services that belong to this stack, whoever starts them."""
    return ALL_SERVICES if settings.market_monitoring == "on" else SERVICES


def supervised_services(settings: OpsSettings) -> tuple[Service, ...]:
    """Return the services that this stack supervises; systemd starts the scheduled ones itself."""
    return tuple(
        service
        for service in present_services(settings)
        if settings.market_scheduler == "internal" or not service.scheduled
    )


def watched_services(settings: OpsSettings) -> tuple[Service, ...]:
    """Return the services that are to answer at any time: no others, and not the watch itself.

    A forecast that systemd starts is a process that ends.
    """
    return tuple(
        service
        for service in present_services(settings)
        if service.name != "watch"
        and (service.name != "gbm-analysis" or settings.market_scheduler == "internal")
    )


def waits_for(service: Service, services: Iterable[Service]) -> tuple[str, ...]:
    """Return what a service waits for among the given ones."""
    names = {other.name for other in services}
    return tuple(name for name in service.depends_on if name in names)


def dependants(service: Service, services: Iterable[Service]) -> tuple[str, ...]:
    """Return which services depend on the given one."""
    return tuple(other.name for other in services if service.name in other.depends_on)
