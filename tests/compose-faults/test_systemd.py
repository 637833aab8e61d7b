"""The units under a real systemd, which is the first process of a container."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import pytest

from common.settings import ROOT
from compose_stack import BUILD_SECONDS, Compose, has_engine
from ops.lifecycle.services import SERVICES
from ops.settings import cache_folder
from stack import COMMAND_SECONDS, wait_until

DOCKERFILE = Path(__file__).with_name("systemd.Dockerfile")
IMAGE = "market-systemd-test"
APP = "/home/market/app"
CACHE = "/home/market/.cache/trading-data-dashboard"
UNIT_FOLDER = "/etc/systemd/system"
# What systemd itself needs: mounts, and the sight of its children's processes.
AS_FIRST_PROCESS = (
    *("--cgroupns=private", "--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE", "--env=container=docker"),
    *("--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp:exec"),
)
PLAIN = ("--plain", "--no-legend")
STOP_SECONDS = 200
TIMER_SECONDS = 240  # OnActiveSec and the accuracy of a timer, on a busy machine
JOB_SECONDS = 600
FRESH = timedelta(minutes=2)
SOCKET = Path("/var/run/docker.sock")

pytestmark = [
    pytest.mark.timeout(4000),
    pytest.mark.skipif(not has_engine(), reason="needs a Docker engine"),
]


def docker(*arguments: str, seconds: float = 120, check: bool = True, given: bytes | None = None) -> str:
    """Run `docker` and return what it printed; fail with what it said."""
    done = subprocess.run(
        ["docker", *arguments], input=given, capture_output=True, timeout=seconds, check=False
    )
    output, errors = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert not check or done.returncode == 0, f"docker {arguments}:\n{output[-4000:]}\n{errors[-4000:]}"
    return output.strip()


class Machine:
    """A container with a systemd of its own and a clean copy of the project, which an ordinary user owns."""

    def __init__(self, name: str, *options: str, in_containers: bool = False) -> None:
        self.name = name
        self.options = options
        self.in_containers = in_containers

    def __enter__(self) -> Self:
        """Boot, and copy the files of the project as they are in git."""
        self.remove()
        try:
            self.boot()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the container with all it holds."""
        self.remove()

    def boot(self) -> None:
        """Start systemd and fill the ordinary user's home."""
        docker("run", "--detach", f"--name={self.name}", *AS_FIRST_PROCESS, *self.options, IMAGE)
        self.until_booted()
        self.run("install", "-d", "-o", "market", "-g", "market", APP)
        listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        files = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout
        packed = ("tar", "--create", "--null", "--files-from=-", "--ignore-failed-read")
        archive = subprocess.run(packed, cwd=ROOT, input=files, capture_output=True, check=True).stdout
        docker("exec", "-i", "-u", "market", self.name, "tar", "-x", "-C", APP, given=archive)

    def run(self, *command: str, user: str = "root", check: bool = True) -> str:
        """Run a command in the container and return what it printed."""
        # Root shares the environment that the user's first start builds.
        options = ("--user", user, "--env", f"MARKET_CACHE={CACHE}")
        return docker("exec", *options, self.name, *command, seconds=COMMAND_SECONDS, check=check)

    def market(self, *arguments: str, user: str = "market") -> str:
        """Run the project's command."""
        return self.run(f"{APP}/market", *arguments, user=user)

    def configure(self, **settings: str) -> None:
        """Write `.env`."""
        text = "".join(f"{name}={value}\n" for name, value in settings.items())
        self.run("sh", "-c", f"printf %s {shlex.quote(text)} >{APP}/.env", user="market")

    def kill(self, pid: int) -> None:
        """Kill a process with -9."""
        self.run("sh", "-c", f"kill -KILL {pid}")

    def query(self, sql: str) -> list[dict[str, Any]]:
        """Return the rows that Presto gives."""
        if self.in_containers:
            said = self.compose("exec", "-T", "presto", "market", "query", sql, "--json")
        else:
            said = self.market("query", sql, "--json")
        rows: list[dict[str, Any]] = json.loads(said)
        return rows

    def compose(self, *arguments: str) -> str:
        """Run `docker compose` in the copy of the project."""
        return self.run("docker", "compose", f"--project-directory={APP}", *arguments, user="market")

    def show(self, unit: str, name: str) -> str:
        """Return what systemd knows of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit)

    def journal(self, unit: str) -> str:
        """Return what a unit logged."""
        return self.run("journalctl", "--no-pager", "--output=cat", "--unit", unit)

    def processes(self) -> dict[int, str]:
        """Return the command lines of the ordinary user's processes."""
        listed = self.run("ps", "-u", "market", "-o", "pid=,args=", "-ww", check=False)
        split = (line.strip().partition(" ") for line in listed.splitlines())
        return {int(pid): command.strip() for pid, _, command in split}

    def pids(self, command: str) -> list[int]:
        """Return the processes whose command line ends so."""
        return [pid for pid, line in self.processes().items() if line.endswith(command)]

    def failed(self) -> str:
        """Return which units of the project have failed."""
        return self.run("systemctl", "list-units", "--failed", *PLAIN, "market-*", "gbm-*")

    def units(self) -> str:
        """Return every trace of the project's units."""
        files = self.run("find", UNIT_FOLDER, "-name", "*market*", "-o", "-name", "*gbm-analysis*")
        loaded = self.run("systemctl", "list-units", "--all", *PLAIN, "market-*", "gbm-*")
        return files + loaded

    def reboot(self) -> None:
        """Shut down in order and boot."""
        docker("restart", f"--time={STOP_SECONDS}", self.name, seconds=STOP_SECONDS + 60)
        self.until_booted()

    def until_booted(self) -> None:
        """Wait until systemd answers; what it starts may take longer."""
        states = ("starting", "running", "degraded")
        wait_until(
            lambda: self.run("systemctl", "is-system-running", check=False) in states,
            f"{self.name}'s systemd",
        )

    def remove(self) -> None:
        """Remove the container with all it holds."""
        docker("rm", "--force", "--volumes", self.name)


@pytest.fixture(scope="module")
def image() -> None:
    """Build the image of the machines."""
    docker("build", "--quiet", "--tag", IMAGE, "-", given=DOCKERFILE.read_bytes(), seconds=BUILD_SECONDS)


@pytest.fixture(scope="module")
def machine(image: None) -> Iterator[Machine]:
    """Start the stack once by hand, as the first start installs it, and then install the units."""
    jars = cache_folder() / "jars"
    shared = [f"--volume={jars}:{CACHE}/jars:ro"] if jars.is_dir() else []
    with Machine("market-systemd-local", *shared) as machine:
        machine.configure(MARKET_SCHEDULER="systemd")
        machine.market("up")
        machine.market("down")
        machine.market("systemd", "install", user="root")
        yield machine


@pytest.fixture(scope="module")
def running(machine: Machine) -> Machine:
    """Have systemd start the stack."""
    machine.run("systemctl", "start", "market-stack")
    return machine


def services(machine: Machine) -> dict[str, dict[str, Any]]:
    """Return what `status` says of the services."""
    found: dict[str, dict[str, Any]] = json.loads(machine.market("status", "--json"))["services"]
    return found


def main_pid(machine: Machine) -> int:
    """Return the collector's process, or 0 when systemd runs none."""
    return int(machine.show("market-collector.service", "MainPID"))


def newest_trade(machine: Machine) -> datetime | None:
    """Return when the newest stored trade was made (UTC)."""
    (row,) = machine.query("select max(last_seen) as newest from cassandra.market.symbols")
    return datetime.fromisoformat(row["newest"]) if row["newest"] else None


def is_caught_up(machine: Machine) -> bool:
    """Tell whether the back-dated trades are stored up to the present."""
    newest = newest_trade(machine)
    return newest is not None and datetime.now(UTC).replace(tzinfo=None) - newest < FRESH


def symbols_of(machine: Machine) -> set[str]:
    """Return the symbols that were received."""
    return {row["symbol"] for row in machine.query("select symbol from cassandra.market.symbols")}


def forecasts(machine: Machine, hour: str) -> list[dict[str, Any]]:
    """Return what is stored of the forecasts of an hour."""
    rows = machine.query(
        f"select * from cassandra.market.gbm_parameters where forecast_time = timestamp '{hour}'"
    )
    return sorted(rows, key=lambda row: str(row["symbol"]))


def found_there(machine: Machine, hour: str) -> set[str]:
    """Return the symbols whose forecast of an hour a run found to be there already."""
    said = machine.journal("market-gbm-analysis")
    return set(re.findall(rf"^(\S+): the forecast of {hour[:-3]} UTC was there already$", said, re.MULTILINE))


def until_idle(machine: Machine) -> None:
    """Wait until no run of the forecast is under way."""
    unit = "market-gbm-analysis.service"
    wait_until(
        lambda: machine.show(unit, "ActiveState") in ("inactive", "failed"),
        "an end of the forecast",
        JOB_SECONDS,
    )


def miss_an_hour(machine: Machine) -> str:
    """Let the forecast's timer believe that it was not there at the full hour; return that, after the run."""
    unit, timer = "market-gbm-analysis.service", "market-gbm-analysis.timer"
    wait_until(lambda: datetime.now(UTC).minute < 55, "a time apart from the full hour", 400)
    until_idle(machine)
    before = machine.show(unit, "InvocationID")
    machine.run("systemctl", "stop", timer)
    machine.run("touch", "-d", "2 hours ago", f"/var/lib/systemd/timers/stamp-{timer}")
    hour = f"{datetime.now(UTC):%Y-%m-%d %H}:00:00"
    machine.run("systemctl", "start", timer)
    wait_until(lambda: machine.show(unit, "InvocationID") not in ("", before), "a run by the timer")
    until_idle(machine)
    assert machine.show(unit, "Result") == "success", machine.journal(unit)[-4000:]
    return hour


def test_the_timer_starts_the_collector_even_before_the_stack(machine: Machine) -> None:
    wait_until(lambda: main_pid(machine), "a collector started by its timer", TIMER_SECONDS)
    assert machine.show("market-collector.timer", "LastTriggerUSec") not in ("", "n/a")
    assert machine.show("market-stack.service", "ActiveState") == "inactive"


def test_both_timers_show_when_they_elapse_next_and_one_by_its_short_name_too(machine: Machine) -> None:
    listed = machine.run("systemctl", "list-timers", *PLAIN, "market-*")
    assert {line.split()[-2] for line in listed.splitlines()} == {
        "market-backup.timer",
        "market-collector.timer",
        "market-gbm-analysis.timer",
    }
    (line,) = (line for line in listed.splitlines() if "gbm" in line)
    assert ":00:20 UTC" in line
    assert machine.show("gbm-analysis.timer", "Id") == "market-gbm-analysis.timer"
    assert machine.show("gbm-analysis.timer", "ActiveState") == "active"


def test_the_stack_becomes_ready_without_what_systemd_starts_itself(running: Machine) -> None:
    others = {service.name for service in SERVICES if service.scheduled}
    states = wait_until(
        lambda: (found := services(running))["collector"]["ready"] and found,
        "a collector that is ready",
        TIMER_SECONDS,
    )
    assert {name for name, found in states.items() if found["state"] == "READY"} >= set(states) - others
    supervised = running.run("cat", f"{APP}/.market/run/supervisord.conf")
    assert "[program:feed]" in supervised
    assert not any(f"[program:{name}]" in supervised for name in others)
    assert states["collector"]["pid"] == main_pid(running)
    assert running.pids("-m collector") == [main_pid(running)]
    assert running.pids("-m gbm_analysis --every-hour") == []


def test_trades_are_stored(running: Machine) -> None:
    wait_until(lambda: is_caught_up(running), "trades of this minute", JOB_SECONDS)
    (row,) = running.query(
        "select count(*) as n from cassandra.market.trades where symbol = 'BINANCE:BTCUSDT' "
        f"and hour = timestamp '{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%d %H}:00:00'"
    )
    assert row["n"] > 0


def test_a_killed_collector_is_restarted_and_is_the_only_one(running: Machine) -> None:
    killed, restarts = main_pid(running), int(running.show("market-collector.service", "NRestarts"))
    running.kill(killed)
    wait_until(lambda: main_pid(running) not in (0, killed), "another collector")
    assert int(running.show("market-collector.service", "NRestarts")) > restarts
    wait_until(lambda: running.pids("-m collector") == [main_pid(running)], "exactly one collector")
    assert "status=9/KILL" in running.journal("market-collector")


def test_a_stopped_collector_is_brought_back_by_its_timer(running: Machine) -> None:
    running.run("systemctl", "stop", "market-collector")
    assert running.pids("-m collector") == []
    triggered = running.show("market-collector.timer", "LastTriggerUSec")
    running.run("systemctl", "restart", "market-collector.timer")
    wait_until(lambda: main_pid(running), "a collector started by its timer", TIMER_SECONDS)
    assert running.show("market-collector.timer", "LastTriggerUSec") != triggered
    wait_until(lambda: running.pids("-m collector") == [main_pid(running)], "exactly one collector")


def test_a_missed_hour_is_made_up_for_at_once_and_only_once(running: Machine) -> None:
    wait_until(lambda: is_caught_up(running), "all of the back-dated trades", JOB_SECONDS)
    hour = miss_an_hour(running)
    made, symbols = forecasts(running, hour), symbols_of(running)
    assert {row["symbol"] for row in made if row["status"] == "ok"} == symbols, made
    running.run("systemctl", "start", "market-gbm-analysis.service")
    assert found_there(running, hour) == symbols
    assert forecasts(running, hour) == made


def test_a_killed_streamlit_comes_back(running: Machine) -> None:
    killed = services(running)["streamlit"]["pid"]
    running.kill(killed)
    found = wait_until(
        lambda: (now := services(running)["streamlit"])["ready"] and now, "a streamlit", TIMER_SECONDS
    )
    assert found["pid"] != killed


def supervisor_pid(machine: Machine) -> int:
    """Return what systemd takes as the stack's process."""
    return int(machine.show("market-stack.service", "MainPID"))


@pytest.mark.parametrize("signal", ["KILL", "STOP"])
def test_a_supervisor_that_dies_or_hangs_is_started_anew_with_its_services(
    running: Machine, signal: str
) -> None:
    pid, restarts = supervisor_pid(running), int(running.show("market-stack.service", "NRestarts"))
    assert running.processes()[pid].endswith("supervisord.conf")
    before = {name: found["pid"] for name, found in services(running).items() if name != "collector"}
    running.run("sh", "-c", f"kill -{signal} {pid}")
    wait_until(
        lambda: (
            int(running.show("market-stack.service", "NRestarts")) > restarts
            and running.show("market-stack.service", "ActiveState") == "active"
        ),
        "another start",
        JOB_SECONDS,
    )
    assert supervisor_pid(running) != pid
    after = wait_until(
        lambda: all((now := services(running))[name]["ready"] for name, pid in before.items() if pid) and now,
        "services that are ready",
        TIMER_SECONDS,
    )
    assert not {found["pid"] for name, found in after.items() if name in before} & {
        *filter(None, before.values())
    }


def test_a_collector_that_hangs_is_started_anew(running: Machine) -> None:
    hanging = main_pid(running)
    running.run("sh", "-c", f"kill -STOP {hanging}")
    wait_until(lambda: main_pid(running) not in (0, hanging), "another collector", TIMER_SECONDS)
    assert running.show("market-collector.service", "ActiveState") == "active"
    wait_until(lambda: running.pids("-m collector") == [main_pid(running)], "exactly one collector")


def test_every_unit_logs_to_the_journal_and_none_has_failed(running: Machine) -> None:
    assert "services were ready" in running.journal("market-stack")
    until_idle(running)
    for name in ("market-stack", "market-collector", "market-gbm-analysis"):
        said = running.run("journalctl", "--quiet", "--output=cat", "--unit", name, "--identifier", name)
        assert said != "", name
    assert running.failed() == ""


def test_a_boot_starts_everything(running: Machine) -> None:
    running.reboot()
    wait_until(
        lambda: running.show("market-stack", "ActiveState") in ("active", "failed"), "a stack", JOB_SECONDS
    )
    wait_until(lambda: services(running)["collector"]["ready"], "a collector that is ready", TIMER_SECONDS)
    assert running.pids("-m collector") == [main_pid(running)]
    assert running.failed() == ""
    before, after = running.journal("market-stack").rsplit("Stopped.", 1)
    assert "services were ready" in before
    assert "services were ready" in after
    assert "Ending what remained" not in after


def test_uninstall_stops_everything_and_leaves_no_unit(running: Machine) -> None:
    running.market("systemd", "uninstall", user="root")
    assert running.units() == ""
    assert running.processes() == {}


@pytest.fixture(scope="module")
def host(image: None) -> Iterator[Machine]:
    """Install the units of the stack in containers, on a machine that may use this one's Docker engine."""
    stack = Compose("market-systemd")
    plugins = json.loads(docker("info", "--format", "{{json .ClientInfo.Plugins}}"))
    programs = {shutil.which("docker"): "/usr/local/bin/docker"} | {
        plugin["Path"]: f"/usr/libexec/docker/cli-plugins/{Path(plugin['Path']).name}" for plugin in plugins
    }
    machine = Machine(
        "market-systemd-compose",
        f"--volume={SOCKET}:/run/docker.sock",
        *(f"--volume={here}:{there}:ro" for here, there in programs.items()),
        in_containers=True,
    )
    stack.run("down", "--volumes", "--timeout", "30")
    try:
        with machine:
            machine.run("groupadd", "--gid", str(SOCKET.stat().st_gid), "docker")
            machine.run("usermod", "--append", "--groups", "docker", "market")
            machine.configure(
                MARKET_SCHEDULER="systemd",
                COMPOSE_PROJECT_NAME=stack.project,
                SUPERSET_PORT=stack.settings["SUPERSET_PORT"],
                STREAMLIT_PORT=stack.settings["STREAMLIT_PORT"],
                MARKET_RECORDINGS=str(ROOT / "tests" / "data"),
            )
            machine.compose("build", "--quiet")
            machine.compose("build", "--quiet", "gbm-analysis")
            machine.market("systemd", "install", "--compose", user="root")
            yield machine
    finally:
        stack.run("down", "--volumes", "--timeout", "30")


@pytest.fixture(scope="module")
def containers(host: Machine) -> Machine:
    """Have systemd start the containers."""
    host.run("systemctl", "start", "market-compose")
    return host


def of_service(machine: Machine, service: str, *options: str) -> list[str]:
    """Return the names of a service's running containers, one-off ones among them."""
    label = f"label=com.docker.compose.service={service}"
    project = "label=com.docker.compose.project=market-systemd"
    shown = "{{.Names}}"
    return docker("ps", *options, "--filter", label, "--filter", project, "--format", shown).split()


def test_the_containers_start_and_the_collector_once(containers: Machine) -> None:
    wait_until(lambda: of_service(containers, "collector"), "the collector's container", TIMER_SECONDS)
    until_idle(containers)
    containers.compose("up", "-d", "--wait")
    assert len(of_service(containers, "collector", "--all")) == 1
    assert of_service(containers, "gbm-analysis", "--all") == []
    assert len(of_service(containers, "stream-processor")) == 1


def test_the_timer_starts_a_stopped_container_of_the_collector(containers: Machine) -> None:
    wait_until(lambda: of_service(containers, "collector"), "the collector's container", TIMER_SECONDS)
    containers.compose("stop", "collector")
    assert of_service(containers, "collector") == []
    triggered = containers.show("market-collector.timer", "LastTriggerUSec")
    containers.run("systemctl", "restart", "market-collector.timer")
    wait_until(lambda: of_service(containers, "collector"), "the collector's container", TIMER_SECONDS)
    assert containers.show("market-collector.timer", "LastTriggerUSec") != triggered


def test_the_timer_makes_up_for_a_missed_hour_in_a_container_of_its_own(containers: Machine) -> None:
    wait_until(lambda: is_caught_up(containers), "all of the back-dated trades", JOB_SECONDS)
    containers.compose("up", "-d", "gbm-analysis")
    hour = miss_an_hour(containers)
    made, symbols = forecasts(containers, hour), symbols_of(containers)
    assert {row["symbol"] for row in made if row["status"] == "ok"} == symbols, made
    assert of_service(containers, "gbm-analysis") == []
    containers.run("systemctl", "start", "market-gbm-analysis.service")
    assert found_there(containers, hour) == symbols
    assert forecasts(containers, hour) == made


def test_a_stopped_forecast_leaves_no_container_that_goes_on(containers: Machine) -> None:
    containers.compose("pause", "cassandra")
    try:
        containers.run("systemctl", "start", "--no-block", "market-gbm-analysis.service")
        wait_until(lambda: of_service(containers, "gbm-analysis"), "a forecast that waits", TIMER_SECONDS)
        containers.run("systemctl", "stop", "market-gbm-analysis.service")
        assert of_service(containers, "gbm-analysis") == []
    finally:
        containers.compose("unpause", "cassandra")


def test_no_unit_of_the_containers_has_failed(containers: Machine) -> None:
    assert containers.failed() == ""
    assert "Healthy" in containers.journal("market-compose")


def test_uninstall_stops_the_containers_and_leaves_no_unit(containers: Machine) -> None:
    containers.market("systemd", "uninstall", user="root")
    assert containers.units() == ""
    assert [name for service in SERVICES for name in of_service(containers, service.name)] == []
