"""`docker compose up` from a clean state: health, limits, a recording against polars, pages, backups."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, expect

import oracle
from compose_stack import RECORDING, Compose
from ops.lifecycle.services import SERVICES
from stack import ROOT
from superset_api import SupersetApi

GIGABYTE = 1000**3
SCHEMA = ROOT / "cassandra" / "schema"
DOCKERFILES = sorted([*ROOT.glob("*/Dockerfile"), *ROOT.glob("tests/*/*.Dockerfile")])
pytestmark = pytest.mark.timeout(4000)


def own(compose: Compose) -> dict[str, dict[str, Any]]:
    """Return the containers that stay, by service."""
    found = {
        container["Config"]["Labels"]["com.docker.compose.service"]: container
        for container in compose.containers()
    }
    return {name: container for name, container in found.items() if name != "secrets"}


def forecasts(compose: Compose) -> dict[str, int]:
    """Return how many forecasts were tried for each symbol."""
    rows = compose.query("select symbol, count(*) as n from cassandra.market.gbm_parameters group by symbol")
    return {row["symbol"]: row["n"] for row in rows}


def keeps(compose: Compose, before: dict[str, int]) -> None:
    """Check that no forecast went away."""
    after = forecasts(compose)
    assert {symbol for symbol, count in before.items() if after.get(symbol, 0) < count} == set()


def superset(compose: Compose) -> SupersetApi:
    """Log in to Superset as its admin."""
    return SupersetApi(
        compose.settings["SUPERSET_PORT"], "admin", compose.password("SUPERSET_ADMIN_PASSWORD")
    )


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


def passwords(compose: Compose, service: str) -> dict[str, str]:
    """Return the passwords that a container sees."""
    lines = compose.run("exec", "-T", service, "cat", "/secrets/secrets.env").split()
    return dict(line.split("=", 1) for line in lines)


def test_a_container_sees_its_own_passwords_only(compose: Compose) -> None:
    for service in SERVICES:
        assert set(passwords(compose, service.name)) == {*service.passwords, *service.reads}, service.name
        listed = compose.run("exec", "-T", service.name, "ls", "/secrets").split()
        assert listed == ["secrets.env"], service.name


def test_presto_lets_no_other_container_announce_a_worker(compose: Compose) -> None:
    script = (
        "import urllib.error, urllib.request as web\n"
        "url = 'http://presto:8080/v1/announcement/stranger'\n"
        "try: web.urlopen(web.Request(url, b'{}', {'Content-Type': 'application/json'}, method='PUT'))\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
    )
    assert compose.run("exec", "-T", "streamlit", "python", "-c", script).strip() == "401"


def test_no_password_is_in_an_environment(compose: Compose) -> None:
    known = {name: value for service in SERVICES for name, value in passwords(compose, service.name).items()}
    assert set(known) == {name for service in SERVICES for name in service.passwords}
    told = json.dumps(compose.containers())
    assert [name for name, password in known.items() if password in told] == []


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
    compose.check(trades)


def test_a_forecast_runs_in_its_container(compose: Compose) -> None:
    assert "ok" in compose.forecast("BINANCE:BTCUSDT")


def test_both_pages_open_in_a_browser(compose: Compose, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1600, "height": 1720})
    page.goto(f"http://127.0.0.1:{compose.settings['STREAMLIT_PORT']}/?symbol=BINANCE:BTCUSDT")
    for key in ("candles", "fan"):
        page.wait_for_function(
            f"document.querySelector('.st-key-{key} .js-plotly-plot')?.data.length > 0", timeout=120_000
        )
    page.goto(f"http://127.0.0.1:{compose.settings['SUPERSET_PORT']}/")
    page.locator("#username").fill("viewer")
    page.locator("#password").fill(compose.password("SUPERSET_VIEWER_PASSWORD"))
    page.keyboard.press("Enter")
    charts = page.locator("[data-test=chart-grid-component]:visible", has_text="Price, VWAP")
    expect(charts.first.locator("canvas").first).to_be_visible(timeout=120_000)
    page.close()


def test_down_and_up_keep_everything(compose: Compose) -> None:
    before = forecasts(compose)
    compose.run("down", "--timeout", "60")
    compose.up()
    assert before
    keeps(compose, before)
    compose.check(oracle.trades(RECORDING))


def test_a_backup_comes_back_into_empty_volumes(compose: Compose, tmp_path: Path) -> None:
    before = forecasts(compose)
    superset(compose).add_dashboard("Mine")
    file = tmp_path / "backup.tar"
    with file.open("wb") as stream:
        compose.run("run", "--rm", "-T", "backup", stdout=stream)
    compose.run("down", "--volumes", "--timeout", "60")
    compose.up()
    with file.open("rb") as stream:
        compose.run("run", "--rm", "-T", "backup", "restore", "-", stdin=stream)
    compose.run("restart", "superset")
    compose.up()
    compose.check(oracle.trades(RECORDING))
    keeps(compose, before)
    assert {"Mine", "Market"} <= superset(compose).dashboards()


def test_newer_code_brings_an_older_store_up_to_date_and_keeps_it(compose: Compose, tmp_path: Path) -> None:
    """The newer code is this one with one more step of the schema."""
    newest = max(int(path.name.partition("_")[0]) for path in SCHEMA.glob("*.cql"))
    newer = shutil.copytree(SCHEMA, tmp_path / "schema")
    (newer / f"{newest + 1:03d}_later.cql").write_text("ALTER TABLE trades ADD IF NOT EXISTS later text;\n")
    for path in (tmp_path, newer, *newer.iterdir()):
        path.chmod(0o755)
    later = tmp_path / "later.yml"
    mounts = [f"{newer}:/app/cassandra/schema:ro"]
    later.write_text(yaml.safe_dump({"services": {"cassandra": {"volumes": mounts}}}))
    before = forecasts(compose)
    compose.run("-f", str(ROOT / "docker-compose.yml"), "-f", str(later), "up", "-d", "--wait")
    versions = compose.query("select max(version) as version from cassandra.market.schema_migrations")
    assert versions == [{"version": newest + 1}]
    assert compose.query("select count(later) as n from cassandra.market.trades") == [{"n": 0}]
    compose.check(oracle.trades(RECORDING))
    keeps(compose, before)
    # The way back is a backup: the older code leaves the newer store alone, and says so.
    with compose.start("up", "-d", "--wait", "--wait-timeout", "60", "cassandra") as older:
        older.communicate()
    assert older.returncode != 0
    assert f"at schema version {newest + 1}, newer than this code's {newest}" in compose.run(
        "logs", "cassandra"
    )


@pytest.mark.parametrize(
    ("scheduler", "left_out"),
    [
        ("", set()),
        ("internal", set()),
        ("systemd", {service.name for service in SERVICES if service.scheduled}),
    ],
)
def test_what_systemd_schedules_does_not_start_by_itself(scheduler: str, left_out: set[str]) -> None:
    done = subprocess.run(
        ["docker", "compose", "config", "--services"],
        cwd=ROOT,
        env=os.environ | {"MARKET_SCHEDULER": scheduler},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {service.name for service in SERVICES} - set(done.stdout.split()) == left_out
    assert done.stderr == ""


def test_the_compose_file_and_the_dockerfiles_are_clean() -> None:
    profiles = ("--profile", "cluster", "--profile", "backup", "--profile", "monitoring")
    checks = (
        ["docker", "compose", "config", "-q"],
        ["docker", "compose", *profiles, "config", "-q"],
        [f"{sys.prefix}/bin/hadolint", *map(str, DOCKERFILES)],
    )
    for check in checks:
        done = subprocess.run(check, cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
