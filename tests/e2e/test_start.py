"""One command, and what a user does around it: start, look, start again, kill, mistype."""

import gzip
import os
import signal
from pathlib import Path

import psutil
import pytest

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


def pids(stack: Stack) -> dict[str, int]:
    """Return the process id of every service."""
    return {name: service["pid"] for name, service in stack.status()["services"].items()}


def test_every_service_is_ready_and_says_so(demo_stack: Stack) -> None:
    services = demo_stack.status()["services"]
    assert services.keys() == SERVICES
    assert {name: service["state"] for name, service in services.items()} == dict.fromkeys(SERVICES, "READY")
    assert all(psutil.pid_exists(service["pid"]) for service in services.values())


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
    before = trades_in_presto(demo_stack)
    journal = sum(1 for _ in (demo_stack.home / "journal").glob("*.jsonl*"))
    for process in demo_stack.processes():
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    demo_stack.market("up", "--feed", "demo")
    assert trades_in_presto(demo_stack) >= before
    assert sum(1 for _ in (demo_stack.home / "journal").glob("*.jsonl*")) >= journal


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
    open_to_others = [
        own[connection.pid]
        for connection in psutil.net_connections("inet")
        if connection.pid in own
        and connection.status == psutil.CONN_LISTEN
        and connection.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    ]
    assert open_to_others == []
