"""What the service `watch` knows of all services and of the last hour."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.request import urlopen

from streamlit_pages.settings import StreamlitSettings

ANSWER_SECONDS = 5.0


class WatchUnavailableError(Exception):
    """The watch cannot be asked now; the message is one sentence."""


class ServiceState(NamedTuple):
    """A service; `up` is None while it starts, `memory` is in bytes, and what is not known is None.

    `up_since` is since when the watch saw it answer at every look.
    """

    name: str
    up: bool | None
    started: datetime | None
    up_since: datetime | None
    restarts: int | None
    memory: float | None


class Look(NamedTuple):
    """What the watch saw at a moment; batches and latency are of what ended since the look before.

    `batches` are mean times by query, `latency` the time from receipt to stored that a share of the trades
    had at most, all in seconds; `memory` is in bytes, by service.
    """

    at: datetime
    batches: Mapping[str, float]
    latency: Mapping[str, float]
    memory: Mapping[str, float]


class LastHour(NamedTuple):
    """The services at the newest look, and the looks of the last hour, oldest first."""

    at: datetime
    services: tuple[ServiceState, ...]
    looks: tuple[Look, ...]


def read_last_hour(settings: StreamlitSettings) -> LastHour:
    """Ask the watch; raise WatchUnavailableError."""
    place = f"{settings.watch_host}:{settings.watch_metrics_port}"
    try:
        with urlopen(f"http://{place}/last-hour", timeout=ANSWER_SECONDS) as answer:
            found = json.load(answer)
    except (OSError, ValueError) as error:
        raise WatchUnavailableError(f"The watch does not answer at {place}.") from error
    return LastHour(
        _moment(found["at"]),
        tuple(_service(name, found["services"][name]) for name in sorted(found["services"])),
        tuple(Look(**{**look, "at": _moment(look["at"])}) for look in found["looks"]),
    )


def _service(name: str, figures: Mapping[str, Any]) -> ServiceState:
    def known(key: str, kind: Callable[[Any], Any]) -> Any:
        return kind(figures[key]) if key in figures else None

    return ServiceState(
        name,
        up=known("up", bool),
        started=known("started", _moment),
        up_since=known("up_since", _moment),
        restarts=known("restarts", int),
        memory=known("memory", float),
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
