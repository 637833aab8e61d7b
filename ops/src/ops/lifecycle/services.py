"""The services of the stack: how each is started, what it waits for, and when it is ready."""

from collections.abc import Iterable
from dataclasses import dataclass

from ops.inspection import probes
from ops.settings import OpsSettings


@dataclass(frozen=True)
class Service:
    """One service; `command` is relative to the root, `{python}` stands for the environment's Python."""

    name: str
    command: tuple[str, ...]
    probe: probes.Probe
    depends_on: tuple[str, ...] = ()
    port: str | None = None
    scheduled: bool = False
    ready_seconds: int = 600
    stop_seconds: int = 30


SERVICES = (
    Service("kafka", ("kafka/entrypoint.sh",), probes.kafka, port="kafka_port"),
    Service(
        "cassandra", ("cassandra/entrypoint.sh",), probes.cassandra, port="cassandra_port", stop_seconds=60
    ),
    Service("presto", ("presto/entrypoint.sh",), probes.presto, ("cassandra",), port="presto_port"),
    Service(
        "stream-processor",
        ("{python}", "-m", "stream_processor"),
        probes.heartbeat("stream-processor"),
        ("kafka", "cassandra"),
        port="spark_ui_port",
        stop_seconds=60,
    ),
    Service("feed", ("{python}", "-m", "feed"), probes.feed, port="feed_port"),
    Service(
        "collector",
        ("{python}", "-m", "collector"),
        probes.heartbeat("collector"),
        ("kafka", "feed"),
        scheduled=True,
    ),
    Service(
        "gbm-analysis",
        ("{python}", "-m", "gbm_analysis", "--every-hour"),
        probes.heartbeat("gbm-analysis"),
        ("cassandra",),
        port="gbm_analysis_metrics_port",
        scheduled=True,
    ),
    Service("superset", ("superset/entrypoint.sh",), probes.superset, port="superset_port"),
    Service("streamlit", ("streamlit/entrypoint.sh",), probes.streamlit, port="streamlit_port"),
)


def supervised_services(settings: OpsSettings) -> tuple[Service, ...]:
    """Return the services that this stack supervises; systemd starts the scheduled ones itself."""
    return tuple(
        service for service in SERVICES if settings.market_scheduler == "internal" or not service.scheduled
    )


def waits_for(service: Service, services: Iterable[Service]) -> tuple[str, ...]:
    """Return what a service waits for among the given ones."""
    names = {other.name for other in services}
    return tuple(name for name in service.depends_on if name in names)


def dependants(service: Service, services: Iterable[Service]) -> tuple[str, ...]:
    """Return which services depend on the given one."""
    return tuple(other.name for other in services if service.name in other.depends_on)
