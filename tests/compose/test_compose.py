"""`docker compose up` from a clean state: health, limits, a recording against polars, pages, what stays."""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Browser, expect
from polars.testing import assert_frame_equal

import oracle
from compose_stack import Compose
from ops.services import SERVICES
from stack import RECORDINGS, ROOT

GIGABYTE = 1000**3
CRYPTO = RECORDINGS / "crypto-20240808.jsonl.gz"
RECORDING = CRYPTO if CRYPTO.exists() else ROOT / "tests" / "data" / "demo.jsonl.gz"
DOCKERFILES = sorted(ROOT.glob("*/Dockerfile"))
TABLES: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "bars_5s": oracle.bars,
    "running_averages_15s": oracle.running_averages,
}

pytestmark = pytest.mark.timeout(4000)


def milliseconds(text: str) -> int:
    """Return Presto's UTC time as ms since the epoch."""
    moment = datetime.fromisoformat(text.removesuffix(" UTC")).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def stored(compose: Compose, table: str, expected: pl.DataFrame) -> pl.DataFrame:
    """Return a table's rows for the symbols and days of `expected`, shaped as it is."""
    days = {datetime.fromtimestamp(start / 1000, UTC).date() for start in expected["window_start"]}
    symbols = ", ".join(f"'{symbol}'" for symbol in expected["symbol"].unique())
    chosen = ", ".join(f"date '{day}'" for day in days)
    rows = compose.query(
        f"select {', '.join(expected.columns)} from cassandra.market.{table} "
        f"where symbol in ({symbols}) and day in ({chosen})"
    )
    shaped = [row | {"window_start": milliseconds(row["window_start"])} for row in rows]
    return pl.DataFrame(shaped, schema=expected.schema).sort("symbol", "window_start")


def own(compose: Compose) -> dict[str, dict[str, Any]]:
    """Return the containers that stay, by service."""
    found = {
        container["Config"]["Labels"]["com.docker.compose.service"]: container
        for container in compose.containers()
    }
    return {name: container for name, container in found.items() if name != "secrets"}


def test_every_service_of_the_contract_is_healthy(compose: Compose) -> None:
    assert {name: container["State"]["Health"]["Status"] for name, container in own(compose).items()} == {
        service.name: "healthy" for service in SERVICES
    }


def test_containers_are_confined(compose: Compose) -> None:
    containers = own(compose)
    for name, container in containers.items():
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Init"], name
        assert container["Config"]["User"] not in ("", "0", "root"), name
        assert host["RestartPolicy"]["Name"] == "unless-stopped", name
    assert sum(container["HostConfig"]["Memory"] for container in containers.values()) <= 6.5 * GIGABYTE


def test_only_web_ports_are_published_and_on_loopback(compose: Compose) -> None:
    published = {
        (name, port["HostIp"])
        for name, container in own(compose).items()
        for ports in (container["NetworkSettings"]["Ports"] or {}).values()
        for port in ports or ()
    }
    assert published == {("superset", "127.0.0.1"), ("streamlit", "127.0.0.1")}


def test_no_password_is_in_an_environment(compose: Compose) -> None:
    passwords = [
        line.split("=", 1)[1]
        for line in compose.run("exec", "-T", "collector", "cat", "/secrets/secrets.env").split()
    ]
    assert len(passwords) > 10
    told = json.dumps(compose.containers())
    assert [password for password in passwords if password in told] == []


def test_a_replayed_recording_equals_polars(compose: Compose) -> None:
    trades = oracle.trades(RECORDING)
    figures = json.loads(
        compose.market(
            "collector", "replay", f"/recordings/{RECORDING.name}", "--speed", "max", "--wait", "--json"
        )
    )
    assert (figures["trades"], figures["stored"], figures["dead_lettered"]) == (
        trades.height,
        trades.height,
        0,
    )
    for table, expect_rows in TABLES.items():
        expected = expect_rows(trades)
        assert_frame_equal(stored(compose, table, expected), expected, rel_tol=1e-9, abs_tol=1e-9)


def test_a_forecast_runs_in_its_container(compose: Compose) -> None:
    compose.market("gbm-analysis", "forecast", "--symbol", "BINANCE:BTCUSDT")
    rows = compose.query(
        "select status from cassandra.market.gbm_parameters where symbol = 'BINANCE:BTCUSDT' "
        "and day >= current_date - interval '1' day"
    )
    assert "ok" in {row["status"] for row in rows}


def test_both_pages_open_in_a_browser(compose: Compose, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1720})
    page.goto(f"http://127.0.0.1:{compose.settings['STREAMLIT_PORT']}/?symbol=BINANCE:BTCUSDT")
    for key in ("candles", "fan"):
        page.wait_for_function(
            f"document.querySelector('.st-key-{key} .js-plotly-plot')?.data.length > 0", timeout=120_000
        )
    password = compose.run(
        "exec", "-T", "superset", "sh", "-c", ". /secrets/secrets.env && echo $SUPERSET_VIEWER_PASSWORD"
    ).strip()
    page.goto(f"http://127.0.0.1:{compose.settings['SUPERSET_PORT']}/")
    page.locator("#username").fill("viewer")
    page.locator("#password").fill(password)
    page.keyboard.press("Enter")
    charts = page.locator("[data-test=chart-grid-component]:visible", has_text="Price, VWAP")
    expect(charts.first.locator("canvas").first).to_be_visible(timeout=120_000)
    page.close()


def test_down_and_up_keep_everything(compose: Compose) -> None:
    bars = oracle.bars(oracle.trades(RECORDING))
    totals = "select symbol, count(*) as n from cassandra.market.gbm_parameters group by symbol"
    before = {row["symbol"]: row["n"] for row in compose.query(totals)}
    compose.run("down", "--timeout", "60")
    compose.up()
    after = {row["symbol"]: row["n"] for row in compose.query(totals)}
    assert before
    assert all(after[symbol] >= n for symbol, n in before.items())
    assert_frame_equal(stored(compose, "bars_5s", bars), bars, rel_tol=1e-9, abs_tol=1e-9)


def test_the_compose_file_and_the_dockerfiles_are_clean() -> None:
    checks = (["docker", "compose", "config", "-q"], [f"{sys.prefix}/bin/hadolint", *map(str, DOCKERFILES)])
    for check in checks:
        done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
