"""The alerts of the running stack, as the watch last saw them: for `status` and `doctor`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from common.files import replace_text
from ops.monitoring.rules import Alert


class Watched(NamedTuple):
    """When the watch last looked, and what it found."""

    at: float
    alerts: list[Alert]


def file(home: Path) -> Path:
    """Return where the watch writes; `down` removes it."""
    return home / "run" / "alerts.json"


def write(home: Path, now: float, alerts: Sequence[Alert]) -> None:
    """Replace what was found before."""
    replace_text(file(home), json.dumps({"at": now, "alerts": [alert._asdict() for alert in alerts]}))


def read(home: Path) -> Watched | None:
    """Return what was found last, or None where there is nothing that can be read."""
    try:
        found = json.loads(file(home).read_text())
        return Watched(float(found["at"]), [Alert(**alert) for alert in found["alerts"]])
    except (OSError, ValueError, TypeError, KeyError):
        return None
