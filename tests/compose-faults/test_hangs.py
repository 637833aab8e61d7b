"""Containers whose processes are stopped (SIGSTOP) during a replay are ended by their own health check."""

import json
from pathlib import Path

import pytest
import yaml

import oracle
from compose_stack import RECORDING, Compose
from stack import ROOT, wait_until

# One of each kind: a login to a server, a page, and a page whose image holds nothing of the project.
NAMES = ("kafka", "streamlit", "superset")
# Both shorter than by default: the limits, and the time from check to check.
QUICK = "0.1"
HASTY = {"services": {name: {"healthcheck": {"interval": "2s"}} for name in NAMES}}
LIMIT_SECONDS = 300

pytestmark = pytest.mark.timeout(4000)


def restarts(compose: Compose) -> dict[str, int]:
    """Return how often Docker has started each container anew."""
    return {
        container["Config"]["Labels"]["com.docker.compose.service"]: container["RestartCount"]
        for container in compose.containers(*NAMES)
    }


def test_containers_that_hang_are_started_anew_and_nothing_is_lost(
    fresh: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = tmp_path / "hasty.yml"
    hasty.write_text(yaml.safe_dump(HASTY))
    files = ("-f", str(ROOT / "docker-compose.yml"), "-f", str(hasty))
    monkeypatch.setitem(fresh.settings, "MARKET_HEALING", QUICK)
    fresh.run(*files, "up", "-d", "--wait", "--no-deps", *NAMES)
    monkeypatch.undo()
    assert restarts(fresh) == dict.fromkeys(NAMES, 0)
    known = set(fresh.journals())
    replay = ("exec", "-T", "collector", "market", "replay", f"/recordings/{RECORDING.name}")
    replaying = fresh.start(*replay, "--speed", "20", "--wait", "--json")
    wait_until(lambda: set(fresh.journals()) - known, "a journal of the replay")
    for name in NAMES:
        # It stops all but the first process and the shell that sends it.
        fresh.run("exec", "-T", name, "sh", "-c", "kill -STOP -1")
    wait_until(lambda: min(restarts(fresh).values()) > 0, "other processes", LIMIT_SECONDS)
    fresh.until_healthy(*NAMES)
    out, errors = replaying.communicate(timeout=LIMIT_SECONDS)
    assert replaying.returncode == 0, errors
    figures = json.loads(out)
    assert figures["stored"] == figures["trades"] == oracle.trades(RECORDING).height
    for name in NAMES:
        assert "The service hangs and is killed: " in fresh.run("logs", "--no-log-prefix", name), name
    fresh.up()
    assert restarts(fresh) == dict.fromkeys(NAMES, 0)
