"""The collector as a process, against a local websocket server and without a Kafka."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from websockets.sync.server import ServerConnection

from collector_process import TOKEN, collector
from common.identity import journal_id
from common.recording import Frame, encode
from common.settings import ROOT
from feeds import LIMIT_SECONDS, scripted_server
from mock_kafka import MockKafka
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


def test_a_systemd_that_watches_over_a_collector_hears_that_it_works(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        scripted_server(Subscriptions()) as port,
    ):
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(START_SECONDS)
        with collector(tmp_path / "home", port, NOTIFY_SOCKET=str(tmp_path / "notify")):
            assert [systemd.recv(100) for _ in range(2)] == [b"WATCHDOG=1"] * 2


class Script:
    """Python code that runs the collector's command with something of it replaced."""

    def __init__(self, code: str, home: Path, *arguments: str) -> None:
        self._errors = (home / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", f"{code}\nsys.exit(main.main())", *arguments],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(str(path) for path in ROOT.glob("*/src")),
                "MARKET_HOME": str(home),
                "KAFKA_COLLECTOR_PASSWORD": "secret0password",
            },
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._limit = threading.Timer(START_SECONDS, self.process.kill)
        self._limit.start()

    def end(self) -> int:
        """Tell the process to end; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(START_SECONDS)
        self._limit.cancel()
        return status

    def said(self) -> str:
        """Return what it wrote to stderr."""
        self._errors.seek(0)
        return self._errors.read()


def test_a_start_that_hangs_is_ended_all_the_same(tmp_path: Path) -> None:
    code = """
import sys, threading
import collector.__main__ as main
main.END_SECONDS = 0.05
main.CollectorSettings.load = lambda: (print('loading', flush=True), threading.Event().wait())
"""
    script = Script(code, tmp_path)
    assert script.process.stdout is not None
    assert script.process.stdout.readline() == "loading\n"
    assert script.end() == 1


def test_publishing_again_ends_in_a_sentence_when_it_is_told_to(tmp_path: Path) -> None:
    kafka = MockKafka()
    code = f"""
import sys
import collector.__main__ as main, collector.producer as producer
producer.client_config = lambda *_: {{"bootstrap.servers": "{kafka.address}"}}
"""
    (tmp_path / "journal").mkdir()
    for started, lines in enumerate([1, 10**6]):
        path = tmp_path / "journal" / f"{journal_id(started, 'live')}.jsonl"
        path.write_bytes(encode(Frame(1, TRADE)) * lines)
    script = Script(code, tmp_path, "--republish")
    wait_until(lambda: "Published" in script.said(), "the first journal", START_SECONDS, 0.05)
    assert script.end() == 1
    assert script.said().splitlines()[-1] == (
        "The journal was published in part only, because the command was ended; start it again."
    )
