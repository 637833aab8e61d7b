"""A service's heartbeat: a small JSON file that says when it last worked and what it counted."""

import json
import os
import time
from pathlib import Path
from typing import Any

from common.files import replace_text
from common.systemd import notify

MAX_AGE_SECONDS = 30.0


def heartbeat_file(home: Path, service: str) -> Path:
    """Return where a service writes its heartbeat."""
    return home / "run" / f"{service}.json"


def write_heartbeat(home: Path, service: str, ready: bool, **figures: Any) -> None:
    """Replace the heartbeat in one step, and let a systemd that watches over this process know.

    `figures` are counters since the process started.
    """
    path = heartbeat_file(home, service)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps({"at": time.time(), "pid": os.getpid(), "ready": ready, **figures}))
    notify("WATCHDOG=1")


def read_heartbeat(home: Path, service: str) -> dict[str, Any] | None:
    """Return the last heartbeat, or None where there is none that can be read."""
    try:
        value = json.loads(heartbeat_file(home, service).read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
