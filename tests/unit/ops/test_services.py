from graphlib import TopologicalSorter

from ops.lifecycle.services import SERVICES, dependants, supervised_services, waits_for
from ops.settings import OpsSettings

NAMES = {service.name for service in SERVICES}
CONTRACT = {
    "kafka",
    "cassandra",
    "presto",
    "superset",
    "streamlit",
    "stream-processor",
    "gbm-analysis",
    "feed",
    "collector",
}


def test_every_service_of_the_contract_is_there() -> None:
    assert CONTRACT <= NAMES


def test_every_dependency_is_a_service_and_none_goes_in_a_circle() -> None:
    order = list(TopologicalSorter({service.name: service.depends_on for service in SERVICES}).static_order())
    assert set(order) == NAMES
    assert order.index("kafka") < order.index("collector")
    assert order.index("cassandra") < order.index("stream-processor")
    assert order.index("cassandra") < order.index("presto")


def test_a_service_stops_after_those_that_depend_on_it() -> None:
    cassandra = next(service for service in SERVICES if service.name == "cassandra")
    assert {"presto", "stream-processor"} <= set(dependants(cassandra, SERVICES))


def test_systemd_takes_over_the_collector_and_the_hourly_job() -> None:
    internal = {service.name for service in supervised_services(OpsSettings(market_scheduler="internal"))}
    systemd = supervised_services(OpsSettings(market_scheduler="systemd"))
    assert internal == NAMES
    assert {service.name for service in systemd} == internal - {"collector", "gbm-analysis"}
    assert all(set(waits_for(service, systemd)) <= {other.name for other in systemd} for service in systemd)


def test_monitoring_runs_only_where_it_is_asked_for() -> None:
    asked = supervised_services(OpsSettings(market_monitoring="on"))
    assert {service.name for service in asked} - NAMES == {"prometheus", "alertmanager"}
