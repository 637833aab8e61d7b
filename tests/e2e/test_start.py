"""One command, and what a user does around it: start, look, start again, kill, mistype."""

import gzip
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from collector.journal import journal_ids
from stack import ROOT, Stack, wait_until

pytestmark = pytest.mark.timeout(1200)

SERVICES = {
    "kafka",
    "cassandra",
    "presto",
    "superset",
    "streamlit",
    "stream-processor",
    "gbm-analysis",
    "feed",
    "collector",
}


def trades_in_presto(stack: Stack) -> int:
    """Count all stored trades through Presto."""
    return int(stack.query("select count(*) as n from cassandra.market.trades")[0]["n"])


def trades_until(stack: Stack, moment: str) -> int:
    """Count the stored trades up to a moment through Presto."""
    sql = f"select count(*) as n from cassandra.market.trades where trade_timestamp <= timestamp '{moment}'"
    return int(stack.query(sql)[0]["n"])


def pids(stack: Stack) -> dict[str, int]:
    """Return the process id of every service."""
    return {name: service["pid"] for name, service in stack.status()["services"].items()}


def test_every_service_is_ready_and_says_so(demo_stack: Stack) -> None:
    services = demo_stack.status()["services"]
    assert services.keys() == SERVICES
    assert {name: service["state"] for name, service in services.items()} == dict.fromkeys(SERVICES, "READY")
    for name, service in services.items():
        assert psutil.pid_exists(service["pid"]), name
        assert service["ready"] is True, name
        assert service["rss_mb"] > 5, name
        started = time.time() - psutil.Process(service["pid"]).create_time()
        assert service["uptime_s"] == pytest.approx(started, abs=10), name
    listening = {
        connection.laddr.port
        for connection in psutil.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    ports = {service["port"] for service in services.values()} - {None}
    assert {int(demo_stack.settings[f"{name}_PORT"]) for name in ("KAFKA", "CASSANDRA", "PRESTO")} <= ports
    assert ports <= listening


def test_the_pipeline_s_figures_are_those_of_its_tables(demo_stack: Stack) -> None:
    in_table = trades_in_presto(demo_stack)
    figures = wait_until(
        lambda: (now := demo_stack.status()["pipeline"])["trades_stored"] >= in_table and now, "figures", 60
    )
    assert figures["trades_received"] >= figures["trades_published"] >= figures["trades_stored"] >= in_table
    assert trades_in_presto(demo_stack) >= figures["trades_stored"]
    assert figures["kafka_lag"] < figures["trades_stored"]
    assert (figures["late"], figures["dead_lettered"]) == (0, 0)


def test_the_doctor_finds_nothing_wrong_with_a_stack_that_runs(demo_stack: Stack) -> None:
    said = demo_stack.market("doctor").stdout
    for name in SERVICES:
        assert f"✔ {name} was READY" in said
    assert "✘" not in said


def test_a_log_is_followed(demo_stack: Stack) -> None:
    following = subprocess.Popen(
        [str(ROOT / "market"), "logs", "feed", "-f"],
        env=os.environ | demo_stack.settings,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert following.stdout is not None
        assert "listening on 127.0.0.1" in following.stdout.readline()
        with (demo_stack.home / "logs" / "feed.log").open("a") as log:
            log.write("a line of this test\n")
        assert "a line of this test\n" in following.stdout
    finally:
        following.kill()
        following.wait()


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
    newest = demo_stack.query("select max(last_seen) as t from cassandra.market.symbols")[0]["t"]
    before = trades_until(demo_stack, newest)
    journals = set(journal_ids(demo_stack.home / "journal"))
    for process in demo_stack.processes():
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    demo_stack.market("up", "--feed", "demo")
    wait_until(lambda: trades_until(demo_stack, newest) >= before, "the trades of before", 60)
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
    ports = {int(demo_stack.settings[f"{name}_PORT"]) for name in ("KAFKA", "CASSANDRA", "PRESTO", "FEED")}
    assert ports <= {connection.laddr.port for connection in listening}
    loopback = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    assert [own[place.pid] for place in listening if place.laddr.ip not in loopback] == []
