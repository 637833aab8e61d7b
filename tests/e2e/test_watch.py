"""What is watched of a running demo: the list of metrics beside what is served."""

import re
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.settings import ROOT
from ops.lifecycle.services import SERVICES, Service
from stack import Stack

SECTION = re.compile(r"^## ([a-z-]+)$\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(market_\w+)` \|([a-z, ]*)\| (.*) \|$", re.MULTILINE)
DOCUMENT = (ROOT / "docs" / "metrics.md").read_text()
LISTED = {name: ROW.findall(text) for name, text in SECTION.findall(DOCUMENT)}
EVERYWHERE = "market_start_timestamp_seconds"
AGENTS = ("jmx_", "jvm_", "process_")
SERVING = [service for service in SERVICES if service.metrics]


def served(stack: Stack, service: Service) -> dict[str, set[str]]:
    """Return the labels of every metric that a service serves, by its name."""
    assert service.metrics
    with urlopen(f"http://127.0.0.1:{stack.settings[service.metrics]}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            name = family.name if family.type == "histogram" else sample.name
            found.setdefault(name, set()).update(set(sample.labels) - {"le"})
    return found


def test_the_list_has_a_section_for_each_service_that_serves_metrics() -> None:
    assert set(LISTED) == {service.name for service in SERVING}


@pytest.mark.parametrize("service", SERVING, ids=lambda service: service.name)
def test_a_service_serves_what_is_listed_and_nothing_else(demo_stack: Stack, service: Service) -> None:
    found = served(demo_stack, service)
    assert EVERYWHERE in found
    ours = {name: labels for name, labels in found.items() if not name.startswith(AGENTS)}
    del ours[EVERYWHERE]
    listed = {
        name: {label.strip() for label in labels.split(",") if label.strip()}
        for name, labels, _ in LISTED[service.name]
    }
    later = {name for name, _, meaning in LISTED[service.name] if "(later)" in meaning}
    assert {name: labels for name, labels in listed.items() if name in ours} == ours
    assert set(listed) - set(ours) <= later
