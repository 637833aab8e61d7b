import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from configparser import RawConfigParser
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from common.settings import ROOT
from ops.errors import MarketError
from ops.install.dependencies import Installed
from ops.lifecycle import supervision
from ops.lifecycle.orphans import MARK
from ops.lifecycle.services import SERVICES, Service
from ops.lifecycle.supervision import (
    HEALING,
    LONGEST_SOCKET,
    Supervisor,
    UnresponsiveSupervisorError,
    configuration,
    socket_file,
    stack_environment,
    start_supervisor,
)
from ops.settings import OpsSettings
from stack import wait_until

NAMES = {service.name for service in SERVICES}
TOKEN = "secrettoken"
URL = "json://user:50%25@example.org/a?x=1,2"
GIVEN = {"collector": {"FINNHUB_API_TOKEN": TOKEN}, "watch": {"MARKET_ALERTS": URL}}


def configured(
    services: tuple[Service, ...] = SERVICES,
    secrets: Mapping[str, Mapping[str, str]] = GIVEN,
    notify_socket: str | None = None,
) -> RawConfigParser:
    text = configuration(
        home=Path("/home/50% mine"),
        services=services,
        python=Path("/environment/bin/python"),
        log_bytes=1000,
        log_files=2,
        open_files=100,
        secrets=secrets,
        notify_socket=notify_socket,
    )
    parser = RawConfigParser()
    parser.read_string(text)
    return parser


def test_the_supervisor_restarts_everything_for_ever_and_listens_on_no_port() -> None:
    parser = configured()
    assert not parser.has_section("inet_http_server")
    assert {
        section.partition(":")[2] for section in parser.sections() if section.startswith("program:")
    } == NAMES | {HEALING}
    assert parser[f"program:{HEALING}"]["autorestart"] == "true"
    assert int(parser[f"program:{HEALING}"]["startretries"]) >= 1_000_000
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
    assert f'FINNHUB_API_TOKEN="{TOKEN}"' in parser["program:collector"]["environment"]
    assert "FINNHUB_API_TOKEN" not in configured(secrets={})["program:collector"]["environment"]


def test_only_the_watch_gets_the_addresses_of_alerts() -> None:
    parser = configured()
    escaped = URL.replace("%", "%%")
    assert [name for name in parser.sections() if escaped in str(dict(parser[name]))] == ["program:watch"]
    assert f'MARKET_ALERTS="{escaped}"' in parser["program:watch"]["environment"]


def test_each_service_is_given_a_file_of_passwords_of_its_own() -> None:
    parser = configured()
    for name in NAMES:
        file = f"/home/50%% mine/run/secrets/{name}/secrets.env"
        assert f'MARKET_SECRETS="{file}"' in parser[f"program:{name}"]["environment"]


def test_the_common_environment_holds_no_token_and_everything_is_utc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = Installed(Path("/jvm"), Path("/jars"), Path("/superset"))
    settings = OpsSettings(market_home=tmp_path)
    monkeypatch.setenv("KAFKA_PORT", "1234")
    environ = stack_environment(
        settings,
        "demo",
        installed,
        {"FINNHUB_API_TOKEN": TOKEN, "MARKET_ALERTS": URL, "TZ": "Asia/Tokyo", "A": "b"},
    )
    assert not {TOKEN, URL}.intersection(environ.values())
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


@pytest.mark.parametrize(("length", "is_inside"), [(100, True), (101, False)])
def test_a_socket_of_a_hundred_characters_stays_in_its_home(length: int, is_inside: bool) -> None:
    home = Path("/" + "h" * (length - len("//run/supervisor.sock")))
    assert len(str(home / "run" / "supervisor.sock")) == length
    assert (socket_file(home).parent == home / "run") == is_inside


def test_a_command_is_an_absolute_path_whose_words_are_quoted() -> None:
    service = Service("kafka", ("kafka/entry point.sh", "100%", "{python}"), lambda *_: None, stop_seconds=7)
    program = configured((service,))["program:kafka"]
    path = f"'{ROOT}/kafka/entry point.sh'"
    assert program["command"] == f"{path} 100%% /environment/bin/python"
    assert program["stopwaitsecs"] == "7"


def test_the_environment_names_what_was_installed_and_the_sources_of_every_component(tmp_path: Path) -> None:
    installed = Installed(Path("/jvm"), Path("/jars"), Path("/superset"))
    environ = stack_environment(OpsSettings(market_home=tmp_path), "none", installed, {})
    assert (environ["JAVA_HOME"], environ["MARKET_JARS"], environ["MARKET_SUPERSET_ENV"]) == (
        "/jvm",
        "/jars",
        "/superset",
    )
    assert environ["MARKET_PYTHON"] == environ["PYSPARK_PYTHON"] == sys.executable
    assert str(ROOT / "collector" / "src") in environ["PYTHONPATH"].split(os.pathsep)
    assert environ["TMPDIR"] == str(tmp_path / "tmp")
    assert environ["PYTHONSAFEPATH"] == environ["PYTHONUNBUFFERED"] == "1"


# --- with a real supervisord ---

COLLECTOR = Service(
    "collector",
    (
        "{python}",
        "-c",
        "import os, time; print(os.environ.get('FINNHUB_API_TOKEN'), flush=True); time.sleep(600)",
    ),
    lambda *_: None,
    stop_seconds=5,
)
STUBBORN = Service(
    "feed",
    (
        "{python}",
        "-c",
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); "
        "time.sleep(600)",
    ),
    lambda *_: None,
    stop_seconds=1,
)
INSTALLED = Installed(Path("/jvm"), Path("/jars"), Path("/superset"))


def make_home(home: Path) -> OpsSettings:
    for folder in ("run", "logs", "tmp"):
        (home / folder).mkdir(parents=True)
    return OpsSettings(market_home=home, finnhub_api_token=TOKEN)


def start(settings: OpsSettings, feed: str = "live") -> None:
    start_supervisor(settings, (COLLECTOR, STUBBORN), feed, INSTALLED)  # type: ignore[arg-type]


def end_process(pid: int) -> None:
    """Kill a supervisor with its services."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[OpsSettings]:
    """Start a supervisor with two services; give its settings."""
    settings = make_home(tmp_path / "home")
    start(settings)
    pid = Supervisor(settings.market_home).pid()
    assert pid is not None
    yield settings
    end_process(pid)


def logged(settings: OpsSettings, service: str) -> str:
    path = settings.market_home / "logs" / f"{service}.log"
    return path.read_text() if path.exists() else ""


def test_a_supervisor_starts_and_stops_services_and_itself(settings: OpsSettings) -> None:
    supervisor = Supervisor(settings.market_home)
    assert {name: process.state for name, process in supervisor.processes().items()} == {
        "collector": "STOPPED",
        "feed": "STOPPED",
    }
    supervisor.start("feed")
    supervisor.start("feed")  # a second start changes nothing
    wait_until(lambda: "up" in logged(settings, "feed"), "a service that runs", 60, every=0.05)
    running = supervisor.processes()["feed"]
    assert psutil.Process(running.pid).parent() == psutil.Process(supervisor.pid())
    assert abs(running.started - psutil.Process(running.pid).create_time()) < 5
    supervisor.stop("feed", STUBBORN.stop_seconds)
    supervisor.stop("feed", STUBBORN.stop_seconds)  # nor does a second stop
    assert supervisor.processes()["feed"].state == "STOPPED"
    assert not psutil.pid_exists(running.pid)
    with pytest.raises(MarketError, match="presto could not be started"):
        supervisor.start("presto")
    with pytest.raises(MarketError, match="presto could not be stopped"):
        supervisor.stop("presto", 1)
    supervisor.shutdown()
    wait_until(lambda: supervisor.pid() is None, "the end of the supervisor", 60, every=0.05)
    with pytest.raises(MarketError, match=r"did not answer any more; \./market up"):
        supervisor.processes()


def test_socket_and_configuration_are_private_and_only_the_collector_gets_the_token(
    settings: OpsSettings,
) -> None:
    home = settings.market_home
    config = home / "run" / "supervisord.conf"
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket_file(home).stat().st_mode) == 0o700
    supervisor = Supervisor(home)
    pid = supervisor.pid()
    assert pid is not None
    process = psutil.Process(pid)
    assert TOKEN not in " ".join(process.cmdline())
    assert "FINNHUB_API_TOKEN" not in process.environ()
    supervisor.start("collector")
    supervisor.start("feed")
    line = wait_until(lambda: logged(settings, "collector").strip(), "the collector's line", 60, every=0.05)
    assert line == TOKEN
    assert stat.S_IMODE((home / "logs" / "collector.log").stat().st_mode) & 0o077 == 0
    assert TOKEN not in psutil.Process(supervisor.processes()["feed"].pid).environ().values()


def test_the_demo_feed_gets_no_token(tmp_path: Path) -> None:
    settings = make_home(tmp_path / "home")
    start(settings, "demo")
    pid = Supervisor(settings.market_home).pid()
    try:
        assert TOKEN not in (settings.market_home / "run" / "supervisord.conf").read_text()
    finally:
        end_process(pid or 0)


@pytest.mark.parametrize("token", ["with space", 'a"b', "a%b", "line\nbreak", "a,b=c"])
def test_a_token_that_could_change_the_configuration_is_refused(tmp_path: Path, token: str) -> None:
    settings = make_home(tmp_path / "home").model_copy(update={"finnhub_api_token": SecretStr(token)})
    with pytest.raises(MarketError, match="FINNHUB_API_TOKEN was not a token") as refused:
        start(settings)
    assert token not in str(refused.value)
    assert not (settings.market_home / "run" / "supervisord.conf").exists()


def test_a_supervisor_that_does_not_start_says_why(tmp_path: Path) -> None:
    settings = make_home(tmp_path / "home")
    (settings.market_home / "logs").rmdir()
    with pytest.raises(MarketError, match=r"The supervisor did not start: .*logs"):
        start(settings)


def ended(returncode: int, stderr: str) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs no supervisord, and ends as one would."""
    return lambda *_, **__: subprocess.CompletedProcess([], returncode, "", stderr)


@pytest.mark.parametrize(
    ("returncode", "stderr", "reason"),
    [
        (1, "no  file\n", "no file"),
        (2, "x" * 100 + "y" * 300, "y" * 300),
        (2, "", "see {home}/logs/supervisord.log"),
        (0, "", "see {home}/logs/supervisord.log"),
    ],
)
def test_the_end_of_what_supervisord_says_is_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returncode: int, stderr: str, reason: str
) -> None:
    settings = make_home(tmp_path / "home")
    monkeypatch.setattr(supervision, "START_SECONDS", 0.1)
    monkeypatch.setattr(subprocess, "run", ended(returncode, stderr))
    with pytest.raises(MarketError) as raised:
        start(settings)
    assert str(raised.value) == f"The supervisor did not start: {reason.format(home=settings.market_home)}."


@pytest.mark.parametrize(
    ("hard_limit", "open_files"),
    [(resource.RLIM_INFINITY, supervision.OPEN_FILES), (4000, 4000), (10**6, supervision.OPEN_FILES)],
)
def test_a_supervisor_that_answers_at_the_second_try_was_given_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_limit: int, open_files: int
) -> None:
    settings = make_home(tmp_path / "home")
    pids = [None, 7]
    monkeypatch.setattr(Supervisor, "pid", lambda _: pids.pop(0))
    monkeypatch.setattr(subprocess, "run", ended(0, ""))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, hard_limit))
    start(settings)
    assert pids == []
    parser = RawConfigParser()
    parser.read(settings.market_home / "run" / "supervisord.conf")
    assert int(parser["supervisord"]["minfds"]) == open_files
    assert int(parser["supervisord"]["logfile_maxbytes"]) == settings.market_log_megabytes * 2**20


ENDING = Service("kafka", ("{python}", "-c", "import time; time.sleep(1.5)"), lambda *_: None, stop_seconds=5)


def test_what_ends_again_and_again_waits_longer_each_time(tmp_path: Path) -> None:
    """Each pause is a state of its own, however long the service ran before."""
    settings = make_home(tmp_path / "home")
    start_supervisor(settings, (ENDING,), "none", INSTALLED)
    supervisor = Supervisor(settings.market_home)
    pid = supervisor.pid()
    try:
        supervisor.start("kafka")
        wait_until(lambda: supervisor.processes()["kafka"].state == "BACKOFF", "a pause", 60, every=0.05)
    finally:
        end_process(pid or 0)


def test_only_the_healing_speaks_to_the_systemd_that_started_the_stack(tmp_path: Path) -> None:
    installed = Installed(Path("/jvm"), Path("/jars"), Path("/superset"))
    environ = {"NOTIFY_SOCKET": "/run/systemd/notify"}
    assert "NOTIFY_SOCKET" not in stack_environment(
        OpsSettings(market_home=tmp_path), "none", installed, environ
    )
    parser = configured(notify_socket="@50%")
    told = {name for name in parser.sections() if "NOTIFY_SOCKET" in parser[name].get("environment", "")}
    assert told == {f"program:{HEALING}"}
    assert parser[f"program:{HEALING}"]["environment"] == 'NOTIFY_SOCKET="@50%%"'
    assert "environment" not in configured()[f"program:{HEALING}"]


def test_a_supervisor_that_is_stopped_is_named_and_nothing_hangs(
    settings: OpsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor(settings.market_home)
    pid = supervisor.pid()
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(supervision, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(supervision, "KILL_SECONDS", 0.1)
    try:
        for call in (
            supervisor.pid,
            supervisor.processes,
            supervisor.shutdown,
            lambda: supervisor.start("feed"),
            lambda: supervisor.stop("feed", 0),
        ):
            with pytest.raises(UnresponsiveSupervisorError, match=r"did not answer in time: \./market down"):
                call()
    finally:
        os.kill(pid, signal.SIGCONT)


def test_no_supervisor_has_no_pid(tmp_path: Path) -> None:
    assert Supervisor(tmp_path).pid() is None
    (tmp_path / "run").mkdir()
    socket_file(tmp_path).touch()
    assert Supervisor(tmp_path).pid() is None
