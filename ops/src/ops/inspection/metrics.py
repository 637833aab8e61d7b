"""The figures of a running service, from its metrics."""

from collections.abc import Mapping
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from ops.inspection.probes import LOCALHOST, fetch
from ops.ports import load_ports


def read_metrics(port: str) -> Mapping[str, float]:
    """Return each sample's sum over its labels, by its name; empty when nothing answers.

    `port` is the variable of the port at which the service serves its metrics.
    """
    return sum_samples(_read_text(port))


def read_info(port: str, metric: str, home: Path) -> Mapping[str, str]:
    """Return what a service of this home says of itself by the labels of a metric with a single sample.

    Empty when nothing answers, or when it is the service of another home.
    """
    for family in text_string_to_metric_families(_read_text(port)):
        for sample in family.samples:
            if sample.name == metric and sample.labels["home"] == str(home.resolve()):
                return sample.labels
    return {}


def sum_samples(text: str) -> dict[str, float]:
    """Sum the samples of Prometheus text by their names."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def _read_text(port: str) -> str:
    try:
        return fetch(f"http://{LOCALHOST}:{load_ports().by_variable()[port]}/metrics")
    except OSError:
        return ""
