import os
import subprocess
import sys
from configparser import RawConfigParser
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from ops.inspection.status import state_of
from ops.install.dependencies import Installed
from ops.lifecycle.orphans import MARK, belongs, end, find_orphans
from ops.lifecycle.services import SERVICES, Service, dependants, supervised_services, waits_for
from ops.lifecycle.supervision import LONGEST_SOCKET, Process, configuration, socket_file, stack_environment
from ops.settings import OpsSettings

NAMES = {service.name for service in SERVICES}
CONTRACT = {
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
TOKEN = "secrettoken"


def configured(services: tuple[Service, ...] = SERVICES, token: str | None = TOKEN) -> RawConfigParser:
    text = configuration(
        home=Path("/home/50% mine"),
        services=services,
        python=Path("/environment/bin/python"),
        log_bytes=1000,
        log_files=2,
        open_files=100,
        token=token,
    )
    parser = RawConfigParser()
    parser.read_string(text)
    return parser


def test_every_service_of_the_contract_is_there() -> None:
    assert CONTRACT <= NAMES


def test_every_dependency_is_a_service_and_none_goes_in_a_circle() -> None:
    order = list(TopologicalSorter({service.name: service.depends_on for service in SERVICES}).static_order())
    assert set(order) == NAMES
    assert order.index("kafka") < order.index("collector")
    assert order.index("cassandra") < order.index("stream-processor")
    assert order.index("cassandra") < order.index("presto")


def test_a_service_stops_after_those_that_depend_on_it() -> None:
    cassandra = next(service for service in SERVICES if service.name == "cassandra")
    assert {"presto", "stream-processor"} <= set(dependants(cassandra, SERVICES))


def test_systemd_takes_over_the_collector_and_the_hourly_job() -> None:
    internal = {service.name for service in supervised_services(OpsSettings(market_scheduler="internal"))}
    systemd = supervised_services(OpsSettings(market_scheduler="systemd"))
    assert internal == NAMES
    assert {service.name for service in systemd} == NAMES - {"collector", "gbm-analysis"}
    assert all(set(waits_for(service, systemd)) <= {other.name for other in systemd} for service in systemd)


def test_the_supervisor_restarts_everything_for_ever_and_listens_on_no_port() -> None:
    parser = configured()
    assert not parser.has_section("inet_http_server")
    assert {
        section.partition(":")[2] for section in parser.sections() if section.startswith("program:")
    } == NAMES
    for name in NAMES:
        program = parser[f"program:{name}"]
        assert program["autostart"] == "false"
        assert program["autorestart"] == "true"
        assert int(program["startretries"]) >= 1_000_000
        assert program["stdout_logfile"] == f"/home/50%% mine/logs/{name}.log"
        assert (program["stdout_logfile_maxbytes"], program["stdout_logfile_backups"]) == ("1000", "2")


def test_only_the_collector_gets_the_token_and_no_command_line_holds_it() -> None:
    parser = configured()
    holders = [
        section for section in parser.sections() if any(TOKEN in value for value in parser[section].values())
    ]
    assert holders == ["program:collector"]
    assert TOKEN not in parser["program:collector"]["command"]
    assert parser["program:collector"]["environment"] == f'FINNHUB_API_TOKEN="{TOKEN}"'
    assert "environment" not in configured(token=None)["program:collector"]


def test_the_common_environment_holds_no_token_and_everything_is_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Installed(Path("/jvm"), Path("/jars"), Path("/superset"))
    settings = OpsSettings(market_home=tmp_path)
    monkeypatch.setenv("KAFKA_PORT", "1234")
    environ = stack_environment(
        settings, "demo", installed, {"FINNHUB_API_TOKEN": TOKEN, "TZ": "Asia/Tokyo", "A": "b"}
    )
    assert TOKEN not in environ.values()
    assert environ["TZ"] == "UTC"
    assert environ["A"] == "b"
    assert environ["KAFKA_PORT"] == "1234"
    assert environ["MARKET_FEED"] == "demo"
    assert environ[MARK] == environ["MARKET_HOME"] == str(tmp_path)


@pytest.mark.parametrize("depth", [1, 40])
def test_the_supervisors_socket_fits_an_address_however_deep_the_home(depth: int) -> None:
    home = Path("/tmp", *["folder"] * depth)
    assert len(str(socket_file(home))) <= LONGEST_SOCKET
    assert socket_file(home) == socket_file(home) != socket_file(home / "other")


def test_an_orphan_belongs_to_its_own_home_only(tmp_path: Path) -> None:
    assert belongs({MARK: str(tmp_path)}, tmp_path)
    assert not belongs({MARK: f"{tmp_path}/other"}, tmp_path)
    assert not belongs({"MARKET_HOME": str(tmp_path)}, tmp_path)


def test_orphans_are_found_and_ended_even_when_they_do_not_listen(tmp_path: Path) -> None:
    stubborn = "\n".join(
        [
            "import signal, sys",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            "print(flush=True)",
            "sys.stdin.read()",
        ]
    )
    child = subprocess.Popen(
        [sys.executable, "-c", stubborn],
        env={**os.environ, MARK: str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        found = find_orphans(tmp_path)
        assert [process.pid for process in found] == [child.pid]
        assert find_orphans(tmp_path / "other") == []
        end(found, patience=0.2)
        assert child.poll() is not None
        assert find_orphans(tmp_path) == []
    finally:
        child.kill()


@pytest.mark.parametrize(
    ("process", "reason", "was_ready", "uptime", "state"),
    [
        (None, None, False, 0, "MISSING"),
        (Process("STOPPED", 0, 0), None, False, 0, "MISSING"),
        (Process("BACKOFF", 0, 0), "no process", False, 0, "EXITED"),
        (Process("FATAL", 0, 0), "no process", True, 0, "EXITED"),
        (Process("EXITED", 0, 0), "no process", False, 0, "EXITED"),
        (Process("RUNNING", 7, 0), None, False, 1, "READY"),
        (Process("RUNNING", 7, 0), "closed", False, 1, "STARTING"),
        (Process("RUNNING", 7, 0), "closed", False, 601, "UNHEALTHY"),
        (Process("RUNNING", 7, 0), "closed", True, 1, "UNHEALTHY"),
    ],
)
def test_states(
    process: Process | None, reason: str | None, was_ready: bool, uptime: float, state: str
) -> None:
    assert state_of(process, reason, was_ready, uptime, 600) == state
