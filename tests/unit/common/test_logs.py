"""The log of a service, in a process of its own: what ends it or a thread is there, and no secret is."""

import json
import logging
import os
import subprocess
import sys

from common.redaction import MASK

SECRET = "hunter/2 +"
START = f"""
import logging, threading
from pydantic import SecretStr
from common.logs import start_logging
start_logging(SecretStr({SECRET!r}), None, SecretStr(""), libraries={{"chatty": {logging.ERROR}}})
"""


def run(script: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", START + script],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_error_that_ends_the_process_is_logged_without_the_secret() -> None:
    ended = run(f"raise ValueError('the token was {SECRET}')")
    assert ended.returncode == 1
    assert "CRITICAL common.logs: The process ended by an error." in ended.stderr
    assert f"ValueError: the token was {MASK}" in ended.stderr
    assert "hunter" not in ended.stderr


def test_an_error_that_ends_a_thread_is_logged_with_its_name() -> None:
    ended = run(
        "def fail(): raise ValueError('x?token=hunter%2F2%20%2B&y=hunter%2F2+%2B')\n"
        "thread = threading.Thread(target=fail, name='publisher'); thread.start(); thread.join()"
    )
    assert ended.returncode == 0
    assert "CRITICAL common.logs: The thread publisher ended by an error." in ended.stderr
    assert f"ValueError: x?token={MASK}&y={MASK}" in ended.stderr
    assert "hunter" not in ended.stderr


def test_libraries_are_heard_from_their_level_on() -> None:
    ended = run(
        "logging.getLogger('chatty').warning('quiet'); logging.getLogger('chatty').error('loud')\n"
        "logging.getLogger('own').info('said')"
    )
    assert "quiet" not in ended.stderr
    assert "ERROR chatty: loud" in ended.stderr
    assert "INFO own: said" in ended.stderr


def test_each_line_is_an_object_where_that_is_asked_for_and_holds_no_secret() -> None:
    ended = run(
        f"logging.getLogger('own').info('said %s', {SECRET!r})\nraise ValueError('\"{SECRET}\\n')",
        MARKET_LOG_FORMAT="json",
    )
    said, end = map(json.loads, ended.stderr.splitlines())
    assert said.keys() - {"time"} == {"level", "logger", "message"}
    assert (said["level"], said["logger"], said["message"]) == ("INFO", "own", f"said {MASK}")
    assert said["time"].endswith("+00:00")
    assert (end["level"], end["message"]) == ("CRITICAL", "The process ended by an error.")
    assert f'ValueError: "{MASK}' in end["traceback"]


def test_a_format_that_is_none_is_left_to_the_service_s_own_settings() -> None:
    assert "INFO own: said" in run("logging.getLogger('own').info('said')", MARKET_LOG_FORMAT="xml").stderr
