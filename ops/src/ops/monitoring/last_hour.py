"""What the watch saw in the last hour, as JSON for a page that draws it."""

import json
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ops.monitoring.samples import Labels, Sample

PATH = "/last-hour"
KEPT_SECONDS = 3600.0
# Looks that are closer than this are not kept: a chart of an hour has fewer pixels.
CLOSEST_SECONDS = 4.5
BATCH_SECONDS = "market_stream_processor_batch_seconds"
LATENCY_SECONDS = "market_stream_processor_receipt_to_stored_seconds"
SHARES = (0.5, 0.99)
OF_SERVICES = {
    "market_service_up": "up",
    "market_service_start_timestamp_seconds": "started",
    "market_service_restarts_total": "restarts",
    "market_service_memory_bytes": "memory",
}

Series = Mapping[tuple[str, Labels], float]


class LastHour:
    """Keeps what a page shows of the looks of an hour; any thread may ask for it.

    The document is `{"at", "services", "looks"}`: when the newest look was (s); each service's `up`,
    `started`, `restarts`, `memory` (bytes) and `up_since` as far as they are known; and for each look, oldest
    first, `at`, `memory` by service, and of what ended since the look before: `batches`, the mean time of a
    batch by query (s), and `latency`, the time from receipt to stored that shares of the trades had at most.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looks: deque[dict[str, Any]] = deque()
        self._services: dict[str, dict[str, float]] = {}
        self._counters: Series = {}
        self._at = 0.0

    def add(self, now: float, samples: Iterable[Sample]) -> None:
        """Take the samples of a look."""
        values = {(name, labels): value for name, labels, value in samples}
        services = self._describe(now, values)
        with self._lock:
            self._at, self._services = now, services
            while self._looks and self._looks[0]["at"] < now - KEPT_SECONDS:
                self._looks.popleft()
            if self._looks and now - self._looks[-1]["at"] < CLOSEST_SECONDS:
                return
            counters = {
                key: value
                for key, value in values.items()
                if key[0].startswith((BATCH_SECONDS, LATENCY_SECONDS))
            }
            grown = _growth(self._counters, counters) if self._counters else {}
            self._counters = counters
            self._looks.append(
                {
                    "at": now,
                    "memory": {name: one["memory"] for name, one in services.items() if "memory" in one},
                    "batches": _means(grown),
                    "latency": _quantiles(grown),
                }
            )

    def document(self) -> str:
        """Return what is known as JSON."""
        with self._lock:
            found = {"at": self._at, "services": self._services, "looks": list(self._looks)}
            return json.dumps(found)

    def _describe(self, now: float, values: Series) -> dict[str, dict[str, float]]:
        services: dict[str, dict[str, float]] = {}
        for (name, labels), value in values.items():
            if name in OF_SERVICES:
                services.setdefault(dict(labels)["service"], {})[OF_SERVICES[name]] = value
        for name, service in services.items():
            if service.get("up"):
                service["up_since"] = self._services.get(name, {}).get("up_since", now)
        return services


def _growth(before: Series, after: Series) -> Series:
    """Return by how much each counter grew; after a restart they all began again at 0."""
    restarted = any(value < before.get(key, 0.0) for key, value in after.items())
    return {key: value if restarted else value - before.get(key, 0.0) for key, value in after.items()}


def _means(grown: Series) -> dict[str, float]:
    counts = {
        dict(labels)["query"]: n for (name, labels), n in grown.items() if name == f"{BATCH_SECONDS}_count"
    }
    sums = {dict(labels)["query"]: n for (name, labels), n in grown.items() if name == f"{BATCH_SECONDS}_sum"}
    return {query: sums[query] / count for query, count in counts.items() if count}


def _quantiles(grown: Series) -> dict[str, float]:
    buckets = sorted(
        (float(dict(labels)["le"]), count)
        for (name, labels), count in grown.items()
        if name == f"{LATENCY_SECONDS}_bucket"
    )
    if not buckets or buckets[-1][1] <= 0:
        return {}
    return {str(share): quantile(buckets, share) for share in SHARES}


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """Return the value that a share of a histogram's observations have at most, as Prometheus estimates it.

    `buckets` are upper bounds, the last one infinite, with the counts up to them. What lies above the last
    finite bound counts as that bound.
    """
    wanted = share * buckets[-1][1]
    low, below = 0.0, 0.0
    for bound, count in buckets[:-1]:
        if count >= wanted:
            return low + (bound - low) * (wanted - below) / (count - below) if count > below else low
        low, below = bound, count
    return low
