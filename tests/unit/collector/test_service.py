"""The collector as a process, against a local websocket server and without a Kafka."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from websockets.sync.server import ServerConnection

from collector_process import TOKEN, collector
from common.settings import ROOT
from feeds import LIMIT_SECONDS, scripted_server
from stack import wait_until

TRADE = '{"data":[{"c":null,"p":1.5,"s":"AAPL","t":1,"v":1}],"type":"trade"}'
START_SECONDS = 60


class Subscriptions(list[tuple[str, str]]):
    """Sends a trade to whoever subscribes to something, and notes what is asked for."""

    def __call__(self, connection: ServerConnection) -> None:
        for message in connection:
            asked = json.loads(message)
            self.append((asked["type"], asked["symbol"]))
            connection.send(TRADE)


def test_a_collector_from_its_start_to_its_end(tmp_path: Path) -> None:
    subscriptions = Subscriptions()
    with scripted_server(subscriptions) as port, collector(tmp_path / "one", port) as running:
        wait_until(lambda: running.received() == 1, "a trade among the metrics", START_SECONDS, 0.05)
        assert subscriptions == [("subscribe", "AAPL")]
        status, reason = running.get("/health")
        assert status == 503
        assert "Kafka did not answer" in reason
        assert TOKEN not in running.get("/metrics")[1] + reason

        (running.home / "tickers").write_text("MSFT\n")
        wait_until(lambda: len(subscriptions) == 3, "the changed tickers", LIMIT_SECONDS, 0.05)
        assert subscriptions[1:] == [("unsubscribe", "AAPL"), ("subscribe", "MSFT")]
        running.process.send_signal(signal.SIGHUP)

        who = f'info{{feed="live",home="{running.home}",pid="{running.process.pid}"}}'
        assert who in running.get("/metrics")[1]
        with collector(tmp_path / "two", port) as second:
            assert second.process.wait(START_SECONDS) == 1
            [sentence] = second.said().strip().splitlines()
            assert f"{tmp_path}/one already uses this FINNHUB_API_TOKEN" in sentence

        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(LIMIT_SECONDS) == 0
    said = running.said()
    assert TOKEN not in said
    assert "Traceback" not in said
    seen = json.loads((running.home / "journal" / "last-seen.json").read_text())
    assert list(seen) == ["live"]


def test_a_start_that_hangs_is_ended_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = (
        "import threading, sys\n"
        "import collector.__main__ as main\n"
        "main.END_SECONDS = 0.05\n"
        "main.CollectorSettings.load = lambda: (print('loading', flush=True), threading.Event().wait())\n"
        "sys.argv = ['collector']\n"
        "sys.exit(main.main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(path) for path in ROOT.glob("*/src")),
        },
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    limit = threading.Timer(START_SECONDS, process.kill)
    limit.start()
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(START_SECONDS) == 1
    limit.cancel()
