"""A container's health check, by the heartbeat of its service."""

from pathlib import Path

import pytest

from common.heartbeat import write_heartbeat
from ops.inspection.health import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MARKET_HOME", str(tmp_path))
    return tmp_path


def test_a_service_with_a_fresh_heartbeat_is_healthy(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_heartbeat(home, "stream-processor", ready=True)
    assert main("stream-processor") == 0
    assert capsys.readouterr().out == "ready\n"


def test_a_service_that_is_not_ready_is_unhealthy_with_its_problem(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_heartbeat(home, "stream-processor", ready=False, problems=["no worker was there"])
    assert main("stream-processor") == 1
    assert "no worker was there" in capsys.readouterr().out
    assert main("gbm-analysis") == 1
    assert capsys.readouterr().out.strip() not in ("", "ready")


def test_a_wrong_setting_is_a_reason_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAFKA_PORT", "many")
    assert main("kafka") == 1
    assert "KAFKA_PORT" in capsys.readouterr().out
