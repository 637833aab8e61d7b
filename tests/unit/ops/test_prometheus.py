"""The configuration of the stack's own Prometheus, judged by promtool."""

import subprocess
from pathlib import Path

import pytest
import yaml

from ops.errors import MarketError
from ops.install.monitoring import ensure_promtool, starting_nothing
from ops.lifecycle.services import SERVICES
from ops.monitoring.prometheus import configuration
from ops.settings import WatchSettings, cache_folder


def test_prometheus_takes_the_configuration_and_finds_the_rules(tmp_path: Path) -> None:
    try:
        promtool = ensure_promtool(cache_folder(), print)
    except MarketError as error:
        pytest.skip(str(error))
    file = tmp_path / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration(WatchSettings())))
    done = subprocess.run(
        [promtool, "check", "config", file],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 rule files found" in done.stdout


def test_every_service_that_serves_figures_is_asked_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_METRICS_PORT", "1234")
    found = configuration(WatchSettings(watch_hosts="{service}"))
    asked = {
        static["labels"]["service"]: static["targets"]
        for static in found["scrape_configs"][0]["static_configs"]
    }
    assert set(asked) == {service.name for service in SERVICES if service.metrics}
    assert asked["kafka"] == ["kafka:1234"]


def test_debian_starts_nothing_while_it_installs(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with starting_nothing(policy):
        assert subprocess.run([policy, "prometheus", "start"], check=False).returncode == 101
    assert not policy.exists()
    policy.write_text("of the system")
    with starting_nothing(policy):
        assert policy.read_text() == "of the system"
    assert policy.exists()
