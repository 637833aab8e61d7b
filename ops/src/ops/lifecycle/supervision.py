"""supervisord below the stack: its configuration, its start and its end."""

import hashlib
import http.client
import os
import resource
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from common.settings import ROOT, Feed
from ops.errors import MarketError
from ops.install.dependencies import Installed
from ops.install.secrets import service_file
from ops.lifecycle.orphans import MARK
from ops.lifecycle.services import Service
from ops.ports import load_ports
from ops.settings import ALERTS, SECRETS_OF_USERS, TOKEN, OpsSettings, WatchSettings

# supervisord answers in milliseconds; this long only a stopped process takes, or a host without memory.
ANSWER_SECONDS = 10.0  # pragma: no mutate: long enough
# supervisord starts within a second; more only when the machine has no time for it.
START_SECONDS = 20.0  # pragma: no mutate: long enough
START_POLL_SECONDS = 0.05  # pragma: no mutate: between two attempts
# What supervisord answers while it ends (`supervisor.xmlrpc`, which takes long to import).
SHUTDOWN_STATE = 6
# What supervisord takes beyond a service's own time to stop: it kills the service, and reaps it.
KILL_SECONDS = 15.0  # pragma: no mutate: long enough
# What ends sooner after its start waits a second longer each time; anything else is started at once.
STEADY_SECONDS = 60
# Cassandra and Kafka hold a file open for each segment of their data.
OPEN_FILES = 10_000  # pragma: no mutate: enough
# The address of a Unix socket has 108 bytes, and supervisord appends its pid to the name while it starts.
LONGEST_SOCKET = 100
# The program that looks after the services, and how it speaks to the systemd that started the stack.
HEALING = "healing"
NOTIFY_SOCKET = "NOTIFY_SOCKET"


class Process(NamedTuple):
    """A service as the supervisor sees it: its state (RUNNING, ...), its pid (0 when none), its start."""

    state: str
    pid: int
    started: float


def socket_file(home: Path) -> Path:
    """Return where the supervisor listens; a long path does not fit a socket's address."""
    inside = home / "run" / "supervisor.sock"
    if len(str(inside)) <= LONGEST_SOCKET:
        return inside
    name = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"market-{os.getuid()}-{name}.sock"


class UnresponsiveSupervisorError(MarketError):
    """Say that the supervisor is there and does not answer."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket; supervisor's own transport waits for an answer without a limit."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__()
        self._path, self._seconds = path, seconds

    def make_connection(self, host: object) -> http.client.HTTPConnection:
        return _Connection(self._path, self._seconds)


class Supervisor:
    """A running supervisord of one home; every thread needs one of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def pid(self) -> int | None:
        """Return the supervisor's pid, or None when none runs; raise when one runs and does not answer."""
        try:
            return cast(int, self._call("getPID"))
        except TimeoutError:
            raise self._unresponsive() from None
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return None

    def processes(self) -> dict[str, Process]:
        """Return what is known of every service."""
        entries = cast("list[dict[str, object]]", self._request("getAllProcessInfo"))
        return {
            str(entry["name"]): Process(
                str(entry["statename"]), cast(int, entry["pid"]), float(cast(int, entry["start"]))
            )
            for entry in entries
            if entry["name"] != HEALING
        }

    def start(self, name: str) -> None:
        """Start a service that is not running."""
        try:
            self._request("startProcess", name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise MarketError(f"{name} could not be started: {fault.faultString}.") from None

    def stop(self, name: str, stop_seconds: float) -> None:
        """Stop a service, which has `stop_seconds` before it is killed, and wait until it has ended."""
        try:
            self._request("stopProcess", name, True, seconds=stop_seconds + KILL_SECONDS)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise MarketError(f"{name} could not be stopped: {fault.faultString}.") from None

    def shutdown(self) -> None:
        """End the supervisor itself."""
        self._request("shutdown")

    def _call(self, method: str, *arguments: object, seconds: float | None = None) -> object:
        transport = _Transport(socket_file(self._home), seconds or ANSWER_SECONDS)
        with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
            return getattr(server.supervisor, method)(*arguments)

    def _request(self, method: str, *arguments: object, seconds: float | None = None) -> object:
        """Call a method; raise MarketError when nobody answers, and Fault when the call is refused."""
        try:
            return self._call(method, *arguments, seconds=seconds)
        except TimeoutError:
            raise self._unresponsive() from None
        except (OSError, http.client.HTTPException, xmlrpc.client.Error) as error:
            if isinstance(error, xmlrpc.client.Fault) and error.faultCode != SHUTDOWN_STATE:
                raise
            raise MarketError(
                "The supervisor did not answer any more; ./market up starts the stack again."
            ) from None

    def _unresponsive(self) -> UnresponsiveSupervisorError:
        return UnresponsiveSupervisorError(
            f"The supervisor of {self._home} is there, but did not answer in time: "
            "./market down ends it, ./market up starts the stack again."
        )


def escape(value: str) -> str:
    """Return a value as it stands in supervisord's configuration."""
    return value.replace("%", "%%")


def environment(values: Mapping[str, str]) -> str:
    """Return the line that gives a program more than all have, or nothing."""
    if not values:
        return ""
    return "environment=" + ",".join(f'{name}="{escape(value)}"' for name, value in values.items()) + "\n"


def secrets_folder(home: Path) -> Path:
    """Return where each service of a running stack has a file of the passwords that it may see."""
    return home / "run" / "secrets"


def configuration(
    *,
    home: Path,
    services: Sequence[Service],
    python: Path,
    log_bytes: int,
    log_files: int,
    open_files: int,
    secrets: Mapping[str, Mapping[str, str]],
    notify_socket: str | None = None,
) -> str:
    """Return supervisord's configuration; `secrets` are settings that one service alone gets."""
    blocks = [
        f"""[unix_http_server]
file={escape(str(socket_file(home)))}
chmod=0700

[supervisord]
logfile={escape(str(home / "logs" / "supervisord.log"))}
logfile_maxbytes={log_bytes}
logfile_backups={log_files}
pidfile={escape(str(home / "run" / "supervisord.pid"))}
directory={escape(str(home))}
umask=077
minfds={open_files}
identifier=market

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    ]
    for service in services:
        program, *arguments = (part.replace("{python}", str(python)) for part in service.command)
        command = shlex.join([str(ROOT / program), *arguments])
        given = {"MARKET_SECRETS": str(service_file(secrets_folder(home), service.name))}
        given |= secrets.get(service.name, {})
        blocks.append(
            f"""[program:{service.name}]
command={escape(command)}
directory={escape(str(home))}
autostart=false
autorestart=true
startsecs={STEADY_SECONDS}
startretries=1000000
stopwaitsecs={service.stop_seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={escape(str(home / "logs" / f"{service.name}.log"))}
stdout_logfile_maxbytes={log_bytes}
stdout_logfile_backups={log_files}
{environment(given)}"""
        )
    # A systemd that started all this hears of it from nobody else.
    blocks.append(
        f"""[program:{HEALING}]
command={escape(shlex.join([str(python), "-m", "ops.lifecycle.healing"]))}
directory={escape(str(home))}
autorestart=true
startretries=1000000
redirect_stderr=true
stdout_logfile={escape(str(home / "logs" / f"{HEALING}.log"))}
stdout_logfile_maxbytes={log_bytes}
stdout_logfile_backups={log_files}
{environment({NOTIFY_SOCKET: notify_socket} if notify_socket else {})}"""
    )
    return "\n".join(blocks)


def stack_environment(
    settings: OpsSettings, feed: Feed, installed: Installed, environ: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment of every service: the user's without secrets, and where things are."""
    home = settings.market_home.absolute()
    without = {*SECRETS_OF_USERS, NOTIFY_SOCKET}
    passed = {name: value for name, value in environ.items() if name not in without}
    ports = {name: str(port) for name, port in load_ports().by_variable().items()}
    return {
        **passed,
        **ports,
        MARK: str(home),
        "MARKET_HOME": str(home),
        "MARKET_FEED": feed,
        "MARKET_JARS": str(installed.jars),
        "MARKET_PYTHON": sys.executable,
        "MARKET_SUPERSET_ENV": str(installed.superset),
        "JAVA_HOME": str(installed.java_home),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(str(path) for path in sorted(ROOT.glob("*/src"))),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(home / "tmp"),
        "TZ": "UTC",
    }


def alert_urls() -> str | None:
    """Return the addresses of alerts as one line that supervisord takes; raise MarketError."""
    urls = WatchSettings.load().market_alerts
    if urls is None:
        return None
    line = " ".join(urls.get_secret_value().split()).replace('"', "%22")
    if not line.isprintable():
        raise MarketError(f"{ALERTS} held characters that no URL has.")
    return line


def start_supervisor(
    settings: OpsSettings, services: Sequence[Service], feed: Feed, installed: Installed
) -> None:
    """Write the configuration and start supervisord; raise MarketError when it does not answer."""
    home = settings.market_home
    token = (
        settings.finnhub_api_token.get_secret_value()
        if settings.finnhub_api_token and feed == "live"
        else None
    )
    if token and not token.isalnum():
        raise MarketError(f"{TOKEN} was not a token: a token holds only letters and digits.")
    given = {TOKEN: token, ALERTS: alert_urls()}
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    text = configuration(
        home=home,
        services=services,
        python=Path(sys.executable),
        log_bytes=settings.market_log_megabytes * 1024**2,
        log_files=settings.market_log_files,
        open_files=OPEN_FILES if hard_limit == resource.RLIM_INFINITY else min(hard_limit, OPEN_FILES),
        secrets={SECRETS_OF_USERS[name]: {name: value} for name, value in given.items() if value},
        notify_socket=os.environ.get(NOTIFY_SOCKET),
    )
    file = home / "run" / "supervisord.conf"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as config:
        config.write(text)
    result = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)],
        env=stack_environment(settings, feed, installed, os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    deadline = time.monotonic() + START_SECONDS
    while Supervisor(home).pid() is None:
        if result.returncode != 0 or time.monotonic() > deadline:
            output = " ".join(result.stderr.split())[-300:]
            raise MarketError(
                f"The supervisor did not start: {output or f'see {home}/logs/supervisord.log'}."
            )
        time.sleep(START_POLL_SECONDS)
