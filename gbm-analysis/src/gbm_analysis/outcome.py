"""What became of the last run: a small file that the hourly service serves as metrics."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class RunOutcome:
    """Symbols by what a run did with them; times in seconds since the epoch.

    `forecast` counts forecasts that are there, `refused` those with a reason why not, `failed` errors.
    """

    ended: float
    duration: float
    forecast: int
    refused: int
    failed: int
    newest_forecast: float | None

    def write(self, home: Path) -> None:
        """Replace the file in one step."""
        path = _file(home)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.tmp")
        unfinished.write_text(json.dumps(asdict(self)))
        unfinished.replace(path)

    @classmethod
    def read(cls, home: Path) -> Self | None:
        """Return what the last run wrote, or None where there is nothing that can be read."""
        try:
            return cls(**json.loads(_file(home).read_text()))
        except (OSError, ValueError, TypeError):
            return None


def _file(home: Path) -> Path:
    return home / "run" / "gbm-analysis-outcome.json"
