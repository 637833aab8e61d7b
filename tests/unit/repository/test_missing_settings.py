"""What a service's program says when a password is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = {
    "cassandra_schema": "CASSANDRA_ADMIN_PASSWORD",
    "kafka_topics": "KAFKA_ADMIN_PASSWORD",
    "stream_processor": "KAFKA_STREAM_PROCESSOR_PASSWORD",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_missing_password_is_named_in_one_sentence(program: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", program],
        env={
            "MARKET_HOME": str(tmp_path),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ["PYTHONPATH"],
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    [line] = (done.stdout + done.stderr).splitlines()
    assert f"The setting {PROGRAMS[program]} was wrong" in line
