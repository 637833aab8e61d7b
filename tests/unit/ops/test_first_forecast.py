from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.errors import MarketError
from ops.lifecycle.first_forecast import Span, ensure_forecast, is_caught_up, run_forecast
from ops.settings import OpsSettings
from stack import free_ports


def test_a_demo_has_caught_up_when_every_symbol_reaches_from_long_ago_to_now() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    long_ago = now - timedelta(hours=2)
    reaching = Span(long_ago, now)
    assert is_caught_up([reaching, Span(long_ago, now - timedelta(seconds=20))], now)
    assert not is_caught_up([], now)
    assert not is_caught_up([reaching, Span(long_ago, now - timedelta(minutes=2))], now)
    assert not is_caught_up([reaching, Span(now - timedelta(minutes=5), now)], now)


def test_a_forecast_that_cannot_be_made_is_reported_and_no_error() -> None:
    lines: list[str] = []
    ensure_forecast(OpsSettings(cassandra_port=free_ports(1)[0]), {}, lines.append)
    [line] = lines
    assert line.startswith("There is no forecast yet: Cassandra did not answer")
    assert line.endswith("./market forecast makes one.")


def test_a_job_that_fails_gives_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "python"
    monkeypatch.setattr("ops.lifecycle.first_forecast.sys.executable", str(program))
    for script, sentence in (
        ("echo first >&2; echo 'no bars.' >&2; exit 1", r"^no bars\.$"),
        ("exit 1", "failed without saying why"),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        with pytest.raises(MarketError, match=sentence):
            run_forecast({})
    program.write_text("#!/bin/sh\nexit 0\n")
    run_forecast({})
