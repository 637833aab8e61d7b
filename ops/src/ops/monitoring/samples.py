"""Prometheus samples, and what is kept of them for rules that look back."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]


class Sample(NamedTuple):
    """One figure; its labels include `service`, the one that it was read from."""

    name: str
    labels: Labels
    value: float


def labels(**values: str) -> Labels:
    """Return labels of these values."""
    return frozenset(values.items())


def parse(text: str, service: str) -> Iterator[Sample]:
    """Yield the samples of Prometheus text that a service answered; its own labels win."""
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield Sample(sample.name, frozenset(({"service": service} | sample.labels).items()), sample.value)


class Selector(NamedTuple):
    """Names series by their metric and some of their labels."""

    name: str
    labels: Labels

    def matches(self, sample: Sample) -> bool:
        """Return whether a sample is of such a series."""
        return sample.name == self.name and self.labels <= sample.labels


class History:
    """The newest samples of every series, and older ones of those that rules look back at.

    `windows` says how many seconds a metric's samples are kept.
    """

    def __init__(self, windows: Mapping[str, float]) -> None:
        self._windows = windows
        self._series: dict[str, dict[Labels, deque[tuple[float, float]]]] = {}
        self._now = 0.0

    def add(self, now: float, samples: Iterable[Sample]) -> None:
        """Take the samples of a moment; a series that is not among them has ended."""
        self._now = now
        for sample in samples:
            values = self._series.setdefault(sample.name, {}).setdefault(sample.labels, deque())
            values.append((now, sample.value))
        for name, series in self._series.items():
            start = now - self._windows.get(name, 0.0)
            for key, values in list(series.items()):
                while values and values[0][0] < start:
                    values.popleft()
                if not values:
                    del series[key]

    def values(self, selector: Selector, seconds: float = 0.0) -> Iterator[tuple[Labels, list[float]]]:
        """Yield each series that has a sample in the last seconds, 0 for now only, with its values by age."""
        for key, values in self._series.get(selector.name, {}).items():
            if selector.labels <= key:
                found = [value for at, value in values if at >= self._now - seconds]
                if found:
                    yield key, found
