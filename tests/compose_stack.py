"""The whole stack in containers, on a real Docker engine."""

import json
import os
import subprocess
from typing import Any

from stack import RECORDINGS, ROOT, free_ports

BUILD_SECONDS = 2400
HEALTH_SECONDS = 600
COMMAND_SECONDS = 600


class Compose:
    """One compose project of its own; `run` fails with what docker said."""

    def __init__(self, project: str) -> None:
        superset, streamlit = free_ports(2)
        self.project = project
        self.settings = {
            "SUPERSET_PORT": str(superset),
            "STREAMLIT_PORT": str(streamlit),
            "FINNHUB_API_TOKEN": "",
            "MARKET_FEED": "",
            **({"MARKET_RECORDINGS": str(RECORDINGS)} if RECORDINGS.exists() else {}),
        }

    def run(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run `docker compose` and return what it printed."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", self.project, *arguments],
            cwd=ROOT,
            env=os.environ | self.settings,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout

    def up(self, *arguments: str, seconds: float = HEALTH_SECONDS) -> None:
        """Start everything and wait for health."""
        self.run("up", "-d", "--wait", "--wait-timeout", str(HEALTH_SECONDS), *arguments, seconds=seconds)

    def market(self, service: str, *arguments: str) -> str:
        """Run the `market` command in a service's container."""
        return self.run("exec", "-T", service, "market", *arguments)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows that Presto gives."""
        return json.loads(self.market("presto", "query", sql, "--json"))

    def containers(self) -> list[dict[str, Any]]:
        """Return what docker says of each container of the project."""
        ids = self.run("ps", "-a", "-q").split()
        return json.loads(subprocess.run(["docker", "inspect", *ids], capture_output=True, check=True).stdout)


def has_engine() -> bool:
    """Tell whether a Docker engine answers."""
    try:
        return (
            subprocess.run(["docker", "info"], capture_output=True, timeout=30, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
