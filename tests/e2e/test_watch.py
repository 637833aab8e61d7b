"""What is watched of a running demo: the list of metrics beside what is served, prices, Prometheus."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from common.settings import ROOT
from ops.errors import MarketError
from ops.install.monitoring import ensure_monitoring
from ops.lifecycle.services import MONITORING, SERVICES, Service
from ops.monitoring.prices import FILE, StoredPrices
from ops.monitoring.rules import load_rules
from receiver import SECRET, receiving
from stack import Stack, wait_until

SECTION = re.compile(r"^## ([a-z-]+)$\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(market_\w+)` \|([a-z, ]*)\| (.*) \|$", re.MULTILINE)
DOCUMENT = (ROOT / "docs" / "metrics.md").read_text()
LISTED = {name: ROW.findall(text) for name, text in SECTION.findall(DOCUMENT)}
EVERYWHERE = "market_start_timestamp_seconds"
AGENTS = ("jmx_", "jvm_", "process_")
UNFINISHED_BARS = 6  # those of the last half-minute may still change between two reads
SERVING = [service for service in SERVICES if service.metrics]


def served(stack: Stack, service: Service) -> dict[str, set[str]]:
    """Return the labels of every metric that a service serves, by its name."""
    assert service.metrics
    with urlopen(f"http://127.0.0.1:{stack.settings[service.metrics]}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            name = family.name if family.type == "histogram" else sample.name
            found.setdefault(name, set()).update(set(sample.labels) - {"le"})
    return found


def test_the_list_has_a_section_for_each_service_that_serves_metrics() -> None:
    assert set(LISTED) == {service.name for service in SERVING}


@pytest.mark.parametrize("service", SERVING, ids=lambda service: service.name)
def test_a_service_serves_what_is_listed_and_nothing_else(demo_stack: Stack, service: Service) -> None:
    found = served(demo_stack, service)
    assert EVERYWHERE in found
    ours = {name: labels for name, labels in found.items() if not name.startswith(AGENTS)}
    del ours[EVERYWHERE]
    listed = {
        name: {label.strip() for label in labels.split(",") if label.strip()}
        for name, labels, _ in LISTED[service.name]
    }
    later = {name for name, _, meaning in LISTED[service.name] if "(later)" in meaning}
    assert {name: labels for name, labels in listed.items() if name in ours} == ours
    assert set(listed) - set(ours) <= later


def test_prices_are_the_stored_closes_and_the_band_is_the_newest_forecasts(demo_stack: Stack) -> None:
    symbol = "BINANCE:BTCUSDT"
    session = demo_stack.cassandra()
    try:
        store = StoredPrices(session)
        now = datetime.now(UTC).replace(microsecond=0)  # as the statements below say it
        start = now - timedelta(minutes=30)
        # The first forecast comes some time after the start.
        wait_until(lambda: store.prices(symbol, start, now).band, "a forecast", 180)
        found = store.prices(symbol, start, now)
        old = store.prices(symbol, start + timedelta(days=300), now + timedelta(days=300))
    finally:
        session.cluster.shutdown()
    days = ", ".join(f"date '{day}'" for day in {start.date(), now.date()})
    bars = demo_stack.query(
        "select close from cassandra.market.bars_5s "
        f"where symbol = '{symbol}' and day in ({days}) and close is not null "
        f"and window_start >= timestamp '{start:%F %T}' order by window_start"
    )
    final = len(found.closes) - UNFINISHED_BARS
    assert [bar["close"] for bar in bars][:final] == found.closes[:final]
    assert final > 100
    bands = demo_stack.query(
        f"select p05, p95 from cassandra.market.gbm_forecasts where symbol = '{symbol}' and day in ({days}) "
        f"and target_time >= timestamp '{now:%F %T}' order by forecast_time desc, target_time"
    )
    assert found.band == (bands[0]["p05"], bands[0]["p95"])
    assert (list(old.closes), old.band) == ([], None)


def test_an_alert_is_told_when_it_begins_and_when_it_ends_and_its_address_to_nobody(
    demo_stack: Stack,
) -> None:
    port = re.search(r"@[0-9.]+:(\d+)/", demo_stack.settings["MARKET_ALERTS"])
    assert port
    file = demo_stack.home / FILE
    with receiving(int(port[1])) as receiver:

        def told(words: str) -> list[str]:
            return [message for message in receiver.messages if words in message]

        file.write_text("- { symbol: BINANCE:BTCUSDT, above: 1 }")
        try:
            wait_until(lambda: told("price: BINANCE:BTCUSDT was above 1: "), "word of the price")
            # The price is that of the last look, so that it may be another one in each of these.
            [alert] = [a for a in demo_stack.status()["alerts"] if a["severity"] == "price"]
            assert alert["summary"].startswith("BINANCE:BTCUSDT was above 1: ")
            doctor = demo_stack.market("doctor", check=False)
            assert "✘ BINANCE:BTCUSDT was above 1: " in doctor.stdout
            assert doctor.returncode == 1
        finally:
            file.unlink()
        wait_until(lambda: told("ended: BINANCE:BTCUSDT was above 1: "), "word of its end")
        assert len(told("price: BINANCE")) == len(told("ended: BINANCE")) == 1
    logs = [path.read_text(errors="replace") for path in (demo_stack.home / "logs").glob("*")]
    assert logs
    assert not [text for text in (*logs, *arguments()) if SECRET in text]


def arguments() -> Iterator[str]:
    """Yield the arguments of every process."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            yield " ".join(process.cmdline())


@pytest.fixture
def monitoring(demo_stack: Stack, tmp_path: Path) -> Iterator[None]:
    """Run Prometheus and Alertmanager beside the stack, with a home of their own."""
    try:
        ensure_monitoring(print)
    except MarketError as error:
        pytest.skip(str(error))
    own = {"MARKET_HOME": str(tmp_path), "MARKET_PYTHON": sys.executable}
    with ExitStack() as running:
        for service in MONITORING:
            process = subprocess.Popen(
                [ROOT / service.command[0]], env=os.environ | demo_stack.settings | own
            )
            running.callback(process.wait, 60)
            running.callback(process.terminate)
        yield


def test_prometheus_reads_every_service_and_knows_whom_to_tell(demo_stack: Stack, monitoring: None) -> None:
    def ask(path: str) -> Any:
        url = f"http://127.0.0.1:{demo_stack.settings['PROMETHEUS_PORT']}/api/v1/{path}"
        try:
            with urlopen(url, timeout=60) as answer:
                return json.load(answer)["data"]
        except OSError:
            return {}

    def read() -> set[str]:
        targets = ask("targets").get("activeTargets", ())
        return {target["labels"]["service"] for target in targets if target["health"] == "up"}

    wait_until(lambda: read() == {service.name for service in SERVING}, "figures of every service", 60)
    rules = [rule["name"] for group in ask("rules")["groups"] for rule in group["rules"]]
    assert sorted(rules) == sorted(rule.alert for rule in load_rules())
    [alertmanager] = ask("alertmanagers")["activeAlertmanagers"]
    ready = alertmanager["url"].replace("/api/v2/alerts", "/-/ready")
    with urlopen(ready, timeout=60) as answer:
        assert answer.status == 200
