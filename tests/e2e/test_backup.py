"""A backup of a store and its dashboards, brought back into an empty one."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from collector.journal import journal_ids, read_lines
from stack import ROOT, Stack, wait_until
from superset_api import SupersetApi

DEMO = ROOT / "tests" / "data" / "demo.jsonl.gz"
OWN = {"schema_migrations", "schema_progress", "feed_events"}  # an empty store has rows of its own there

pytestmark = pytest.mark.timeout(1200)


def admin(stack: Stack) -> SupersetApi:
    return SupersetApi(stack.settings["SUPERSET_PORT"], "admin", stack.secrets()["SUPERSET_ADMIN_PASSWORD"])


def rows(stack: Stack) -> dict[str, list[str]]:
    """Return every row of every table, as text."""
    session = stack.cassandra()
    tables = session.cluster.metadata.keyspaces["market"].tables
    found = {table: sorted(map(repr, session.execute(f"SELECT * FROM {table}"))) for table in tables}
    session.cluster.shutdown()
    return found


def test_a_backup_comes_back_into_an_empty_store_and_twice_changes_nothing(
    stack: Stack, tmp_path: Path
) -> None:
    stack.replay(DEMO)
    admin(stack).add_dashboard("Mine")
    before = rows(stack)
    replayed = max(journal_ids(stack.home / "journal"))
    received = list(read_lines(stack.home / "journal", replayed))
    file = tmp_path / "backup.tar"
    assert "Superset's database" in stack.market("backup", str(file)).stderr
    content = file.read_bytes()
    assert [name for name, value in stack.secrets().items() if value.encode() in content] == []

    stack.start_empty("none")
    assert {table for table, found in rows(stack).items() if found} <= OWN
    assert "Mine" not in admin(stack).dashboards()
    for _ in range(2):
        assert "./market republish --from" in stack.market("restore", str(file)).stderr
        after = rows(stack)
        assert {name: after[name] for name in before if name not in OWN} == {
            name: before[name] for name in before if name not in OWN
        }
        assert set(before["feed_events"]) <= set(after["feed_events"])
        wait_until(lambda: stack.status()["services"]["superset"]["ready"], "a Superset that runs again")
    assert list(read_lines(stack.home / "journal", replayed)) == received
    assert {"Mine", "Market"} <= admin(stack).dashboards()


def temporary_files(stack: Stack, folder: Path) -> set[str]:
    """Return what a backup makes and takes back: a part of its file, copies of its own, snapshots."""
    data = stack.home / "data" / "cassandra"
    found = [*folder.iterdir(), *data.glob("backup-*"), *data.glob("data/market/*/snapshots/backup-*")]
    return {path.name for path in found}


def test_a_backup_that_is_told_to_end_leaves_nothing(stack: Stack, tmp_path: Path) -> None:
    snapshots = stack.home / "data" / "cassandra" / "data" / "market"
    backup = subprocess.Popen(
        [ROOT / "market", "backup", tmp_path / "backup.tar"],
        env=os.environ | stack.settings,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: list(snapshots.glob("*/snapshots/backup-*")), "a snapshot", every=0.01)
    assert temporary_files(stack, tmp_path)
    backup.terminate()
    _, said = backup.communicate(timeout=120)
    assert backup.returncode == 128 + signal.SIGTERM, said
    assert "Traceback" not in said
    assert temporary_files(stack, tmp_path) == set()
