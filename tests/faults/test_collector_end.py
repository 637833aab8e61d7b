"""The collector ends in time when it is told to, whatever waits or hangs."""

import json
import os
import signal
import socket
from pathlib import Path

from collector.journal import read_lines
from collector.line_file import LineFile, Position
from collector_process import collector
from common.identity import journal_id
from common.recording import Frame, encode
from feeds import scripted_server
from kill_campaign import END_SECONDS
from stack import wait_until

LIMIT_SECONDS = 60


def journal(folder: Path, started_ms: int, lines: int) -> LineFile:
    """Write a journal whose frames hardly compress."""
    trade = {"c": [os.urandom(500).hex()], "p": 1.5, "s": "AAPL", "t": 1, "v": 1}
    line = encode(Frame(1, json.dumps({"data": [trade], "type": "trade"})))
    path = folder / f"{journal_id(started_ms, 'live')}.jsonl"
    path.write_bytes(line * lines)
    return LineFile(path)


def test_neither_a_backlog_nor_packing_nor_a_kafka_that_hangs_holds_up_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "journal"
    folder.mkdir(parents=True)
    published, waiting = journal(folder, 1, 200_000), journal(folder, 2, 100_000)
    published.save_acked(Position(200_000, published.size()))
    with (
        socket.create_server(("127.0.0.1", 0)) as hanging,
        scripted_server(lambda connection: [None for _ in connection]) as port,
        collector(tmp_path / "home", port, KAFKA_PORT=str(hanging.getsockname()[1])) as running,
    ):
        wait_until(lambda: list(folder.glob("*.gz*")), "packing to begin", LIMIT_SECONDS, every=0.01)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(END_SECONDS) == 0
    assert "Traceback" not in running.said()
    for file, lines in ((published, 200_000), (waiting, 100_000)):
        assert sum(1 for _ in read_lines(folder, file.path.stem)) == lines
    assert waiting.acked() == Position(0, 0)
