"""The figures of a running service, from its metrics."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from ops.inspection.probes import LOCALHOST, fetch
from ops.ports import load_ports


def read_metrics(port: str) -> Mapping[str, float]:
    """Return each sample's sum over its labels, by its name; empty when nothing answers.

    `port` is the variable of the port at which the service serves its metrics.
    """
    try:
        return sum_samples(fetch(f"http://{LOCALHOST}:{load_ports().by_variable()[port]}/metrics"))
    except OSError:
        return {}


def sum_samples(text: str) -> dict[str, float]:
    """Sum the samples of Prometheus text by their names."""
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums
