"""Both jobs on a Spark cluster of two workers, one of which is killed."""

import json
from typing import Any

import pytest

import oracle
from compose_stack import RECORDING, Compose
from stack import wait_until

MASTER = "spark://spark-master:7077"
SYMBOL = "BINANCE:BTCUSDT"

pytestmark = pytest.mark.timeout(4000)


@pytest.fixture(scope="module")
def cluster(clean: Compose) -> Compose:
    """Let the same jobs run on a cluster."""
    clean.settings |= {"SPARK_MASTER": MASTER, "COMPOSE_PROFILES": "cluster"}
    clean.up("--scale", "spark-worker=2")
    return clean


def ask(compose: Compose, service: str, url: str) -> Any:
    """Return the JSON that a service finds at a URL."""
    script = f"import urllib.request as u; print(u.urlopen('{url}', timeout=60).read().decode())"
    return json.loads(compose.run("exec", "-T", service, "python", "-c", script))


def cluster_state(compose: Compose) -> dict[str, Any]:
    """Return what the master says of workers and jobs."""
    return dict(ask(compose, "spark-master", "http://127.0.0.1:8080/json/"))


def executors(compose: Compose) -> int:
    """Return how many processes work for the stream processor on the cluster."""
    address = "http://stream-processor:4040/api/v1/applications"
    [job] = ask(compose, "stream-processor", address)
    found = ask(compose, "stream-processor", f"{address}/{job['id']}/executors")
    return sum(executor["id"] != "driver" for executor in found)


def can_forecast(compose: Compose) -> bool:
    """Tell whether the symbol is known and has half an hour of bars; it is noted after its bars."""
    known = compose.query(f"select symbol from cassandra.market.symbols where symbol = '{SYMBOL}'")
    [row] = compose.query(
        f"select count(*) as n from cassandra.market.bars_5s where symbol = '{SYMBOL}' "
        "and day in (current_date, current_date - interval '1' day)"
    )
    return bool(known) and row["n"] > 30 * 12


def test_the_jobs_run_on_the_workers(cluster: Compose) -> None:
    state = cluster_state(cluster)
    assert state["aliveworkers"] == 2
    assert [app["name"] for app in state["activeapps"]] == ["stream-processor"]
    assert executors(cluster) == 2
    wait_until(lambda: can_forecast(cluster), "a symbol with bars to learn from", 600)
    assert "ok" in cluster.forecast(SYMBOL)
    assert [app["name"] for app in cluster_state(cluster)["completedapps"]] == ["gbm-analysis"]


def test_a_killed_worker_costs_nothing(cluster: Compose) -> None:
    trades = oracle.trades(RECORDING)
    bars = oracle.bars(trades)
    replay = ("replay", f"/recordings/{RECORDING.name}", "--speed", "20", "--wait", "--json")
    replaying = cluster.start("exec", "-T", "collector", "market", *replay)
    wait_until(lambda: cluster.counted("bars_5s", bars) > 0, "the first trades of the replay")
    cluster.kill("spark-worker", number=1)
    out, errors = replaying.communicate(timeout=900)
    assert replaying.returncode == 0, (out, errors)
    figures = json.loads(out)
    assert (figures["stored"], figures["dead_lettered"]) == (trades.height, 0)
    cluster.check(trades)
    cluster.until_healthy("spark-worker", "stream-processor")
    assert cluster_state(cluster)["aliveworkers"] == 2


def test_a_killed_master_goes_on_with_its_jobs(cluster: Compose) -> None:
    before = [app["id"] for app in cluster_state(cluster)["activeapps"]]
    cluster.kill("spark-master")
    cluster.until_healthy("spark-master", "spark-worker")
    wait_until(lambda: cluster_state(cluster)["aliveworkers"] == 2, "both workers at the new master")
    assert [app["id"] for app in cluster_state(cluster)["activeapps"]] == before
    assert "ok" in cluster.forecast(SYMBOL)
