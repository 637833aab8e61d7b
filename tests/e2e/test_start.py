"""One command, and what a user does around it: start, look, start again, kill, mistype."""

import gzip
import os
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from collector.journal import journal_ids
from ops.install.dependencies import ensure_all
from ops.install.secrets import ensure_secrets, share
from ops.lifecycle.services import SERVICES
from ops.lifecycle.stack import FOLDERS, start_services, stop
from ops.lifecycle.supervision import secrets_folder, start_supervisor
from ops.settings import OpsSettings, cache_folder
from stack import ROOT, Stack, wait_until
from topics import topic_names

pytestmark = pytest.mark.timeout(1200)

NAMES = {service.name for service in SERVICES}


def trades_in_presto(stack: Stack) -> int:
    """Count all stored trades through Presto."""
    return int(stack.query("select count(*) as n from cassandra.market.trades")[0]["n"])


def listening_ports() -> set[int]:
    """Return every port of this machine that is listened on."""
    connections = psutil.net_connections("inet")
    return {place.laddr.port for place in connections if place.status == psutil.CONN_LISTEN}


def stored_trades(stack: Stack) -> set[tuple[str, str]]:
    """Return the symbol and id of every stored trade."""
    session = stack.cassandra()
    trades = {(row.symbol, row.trade_id) for row in session.execute("SELECT symbol, trade_id FROM trades")}
    session.cluster.shutdown()
    return trades


def pids(stack: Stack) -> dict[str, int]:
    """Return the process id of every service."""
    return {name: service["pid"] for name, service in stack.status()["services"].items()}


def test_every_service_is_ready_and_says_so(demo_stack: Stack) -> None:
    services = demo_stack.status()["services"]
    assert services.keys() == NAMES
    assert {name: service["state"] for name, service in services.items()} == dict.fromkeys(NAMES, "READY")
    for name, service in services.items():
        process = psutil.Process(service["pid"])
        assert process.environ()["MARKET_HOME"] == str(demo_stack.home), name
        assert process.create_time() == pytest.approx(time.time() - service["uptime_s"], abs=60), name
        assert service["rss_mb"] >= process.memory_info().rss / 2 / 1024**2 > 1, name
    ports = {service["port"] for service in services.values()}
    assert len(ports) == len(services)
    assert ports <= listening_ports()


def test_the_doctor_finds_nothing_wrong_with_a_stack_that_runs(demo_stack: Stack) -> None:
    report = demo_stack.market("doctor").stdout
    for name in NAMES:
        assert f"✔ {name} was READY\n" in report
    assert "✘" not in report


def test_demo_trades_reach_presto(demo_stack: Stack) -> None:
    before = trades_in_presto(demo_stack)
    assert before > 10_000, "an empty store should begin with two hours of trades"
    wait_until(lambda: trades_in_presto(demo_stack) > before, "more trades", 60)
    symbols = demo_stack.query("select symbol, source, asset_class from cassandra.market.symbols")
    assert {row["source"] for row in symbols} == {"demo"}
    assert {row["asset_class"] for row in symbols} == {"stock", "crypto"}
    assert wait_until(
        lambda: (demo_stack.status()["pipeline"]["newest_trade_age_s"] or 60) < 30, "a fresh trade", 60
    )


def test_a_second_up_changes_nothing(demo_stack: Stack) -> None:
    before = pids(demo_stack)
    demo_stack.market("up")
    assert pids(demo_stack) == before


def test_another_feed_is_refused_with_the_way_out(demo_stack: Stack) -> None:
    refused = demo_stack.market("up", "--feed", "none", check=False)
    assert refused.returncode != 0
    assert "./market down" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_replay_beside_the_demo_is_counted_for_itself(demo_stack: Stack) -> None:
    figures = demo_stack.replay(ROOT / "tests" / "data" / "demo.jsonl.gz")
    assert figures["stored"] == figures["trades"] > 0


def test_bad_recordings_are_refused_in_a_sentence(demo_stack: Stack, tmp_path: Path) -> None:
    whole = gzip.decompress((ROOT / "tests" / "data" / "demo.jsonl.gz").read_bytes())
    files = {
        "absent.jsonl": None,
        "text.jsonl": b"hello\n",
        "empty.jsonl": b"",
        "cut.jsonl": whole[: len(whole) // 2 + 7],
        "cut.jsonl.gz": gzip.compress(whole)[:-2000],
    }
    for name, content in files.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        refused = demo_stack.market("replay", str(path), check=False)
        assert refused.returncode != 0, name
        assert name in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1, refused.stderr


def test_up_after_a_kill_of_everything_comes_back_with_its_data(demo_stack: Stack) -> None:
    before = stored_trades(demo_stack)
    journals = set(journal_ids(demo_stack.home / "journal"))
    for process in demo_stack.processes():
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    demo_stack.market("up", "--feed", "demo")
    assert before
    assert before <= stored_trades(demo_stack)
    assert journals < set(journal_ids(demo_stack.home / "journal"))


def test_orphans_of_a_killed_supervisor_are_ended(demo_stack: Stack) -> None:
    before = set(pids(demo_stack).values())
    supervisors = [
        process for process in demo_stack.processes() if "supervisord" in " ".join(process.cmdline())
    ]
    assert len(supervisors) == 1
    os.kill(supervisors[0].pid, signal.SIGKILL)
    demo_stack.market("up", "--feed", "demo")
    assert not before & set(pids(demo_stack).values())
    assert not [pid for pid in before if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


def test_only_loopback_is_listened_on(demo_stack: Stack) -> None:
    own = {process.pid: " ".join(process.cmdline()) for process in demo_stack.processes()}
    listening = [
        connection
        for connection in psutil.net_connections("inet")
        if connection.pid in own and connection.status == psutil.CONN_LISTEN
    ]
    ports = {service["port"] for service in demo_stack.status()["services"].values()}
    assert ports <= {connection.laddr.port for connection in listening}
    loopback = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    assert [own[place.pid] for place in listening if place.laddr.ip not in loopback] == []


def test_a_second_stack_on_ports_that_are_taken_is_refused_and_changes_nothing(
    demo_stack: Stack, tmp_path: Path
) -> None:
    before = pids(demo_stack)
    taken = {name: value for name, value in demo_stack.settings.items() if name.endswith("_PORT")}
    second = Stack(tmp_path / "second", **taken)
    refused = second.market("up", "--feed", "none", check=False)
    assert refused.returncode == 1
    sentence = re.fullmatch(
        r"Port (\d+) \((\w+)\) was taken by \w+ \(pid \d+\): stop that, .*\n", refused.stderr
    )
    assert sentence, refused.stderr
    assert taken[sentence[2]] == sentence[1]
    assert second.processes() == []
    assert pids(demo_stack) == before


def test_a_second_stack_runs_beside_the_first(
    demo_stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the second stack only Kafka runs: what keeps two stacks apart is the same for every service."""
    second = Stack(tmp_path / "second", KAFKA_TOPIC_NAME="second")
    for name, value in second.settings.items():
        monkeypatch.setenv(name, value)
    for folder in FOLDERS:
        (second.home / folder).mkdir(parents=True)
    ensure_secrets(second.home / "secrets.env")
    share(second.home / "secrets.env", secrets_folder(second.home))
    settings = OpsSettings.load()
    kafka = [service for service in SERVICES if service.name == "kafka"]
    before = pids(demo_stack)
    try:
        start_supervisor(settings, kafka, "none", ensure_all(cache_folder(), print))
        start_services(settings, kafka, print)
        assert {"second", "second.dead-letter", "second.events"} <= topic_names(second)
        assert second.topic not in topic_names(demo_stack)
        assert second.secrets()["KAFKA_ADMIN_PASSWORD"] != demo_stack.secrets()["KAFKA_ADMIN_PASSWORD"]
    finally:
        stop(second.home, print)
    assert second.processes() == []
    assert pids(demo_stack) == before
    assert demo_stack.status()["services"]["kafka"]["ready"]
