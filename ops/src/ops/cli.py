"""The `market` command line."""

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NoReturn, get_args

from common.moments import parse_moment
from common.settings import Feed, SettingsError, market_home
from ops.errors import MarketError
from ops.install.bootstrap import BootstrapError
from ops.lifecycle.stack import adopt_running_ports
from ops.settings import TOKEN, OpsSettings, adopt_env_file, cache_folder

Command = Callable[[argparse.Namespace], int]

LOG_BYTES = 1024**2

log = logging.getLogger(__name__)


def report(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def report_to_stderr(line: str) -> None:
    """Print a line where it is no part of the command's result."""
    print(line, file=sys.stderr, flush=True)


def up(arguments: argparse.Namespace) -> int:
    from ops.inspection.status import urls
    from ops.install.secrets import FILE
    from ops.lifecycle import stack

    settings = OpsSettings.load()
    feed = stack.up(settings, arguments.feed, arguments.keep, report)
    report("\nFrom your browser:")
    for name, url in urls(settings).items():
        report(f"  {name:<11}{url}")
    passwords = settings.market_home / FILE
    report(
        f"Superset's logins are admin and viewer; their passwords are SUPERSET_ADMIN_PASSWORD and "
        f"SUPERSET_VIEWER_PASSWORD in {passwords}."
    )
    if feed == "demo":
        report(
            f"DEMO DATA: simulated prices. For live ones set {TOKEN}, then ./market down and up --feed live."
        )
    if feed == "none":
        report("No feed is connected; ./market replay FILE plays a recording.")
    return 0


def down(arguments: argparse.Namespace) -> int:
    from ops.lifecycle import stack

    stack.down(OpsSettings.load(), report)
    return 0


def reset(arguments: argparse.Namespace) -> int:
    from ops.lifecycle import stack

    settings = OpsSettings.load()
    if not arguments.yes:
        raise MarketError(
            f"This removes all trades, bars and forecasts in {settings.market_home}; say --yes to do it."
        )
    stack.reset(settings, report)
    return 0


def status(arguments: argparse.Namespace) -> int:
    from ops.inspection import status

    figures = status.status(OpsSettings.load())
    print(json.dumps(figures, indent=2) if arguments.json else status.text(figures))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    from ops.inspection.doctor import diagnose

    bad = 0
    for finding in diagnose(OpsSettings.load()):
        report(
            f"{'✔' if finding.good else '✘'} {finding.what}"
            + ("" if finding.good else f"\n    → {finding.fix}")
        )
        bad += not finding.good
    if bad:
        raise MarketError(f"{bad} thing{'s' if bad > 1 else ''} should be fixed (marked ✘ above).")
    return 0


def logs(arguments: argparse.Namespace) -> int:
    from ops.inspection import logs
    from ops.lifecycle.services import ALL_SERVICES
    from ops.lifecycle.supervision import HEALING

    known = (*(service.name for service in ALL_SERVICES), HEALING, "supervisord", "market")
    logs.show(OpsSettings.load().market_home, arguments.service, known, arguments.follow)
    return 0


def query(arguments: argparse.Namespace) -> int:
    from ops.inspection.query import run_query, table

    rows = run_query(OpsSettings.load(), arguments.sql)
    print(json.dumps(rows, indent=2, default=str) if arguments.json else table(rows))
    return 0


def dead_letters(arguments: argparse.Namespace) -> int:
    from ops.inspection.dead_letters import dead_letters, text

    letters = dead_letters(OpsSettings.load(), arguments.symbol, arguments.limit)
    print(json.dumps([letter._asdict() for letter in letters], indent=2) if arguments.json else text(letters))
    return 0


def replay(arguments: argparse.Namespace) -> int:
    from ops.data.replay import replay

    result = replay(
        arguments.file,
        arguments.speed,
        arguments.as_now,
        arguments.wait,
        arguments.into_live,
        report_to_stderr,
    )
    figures = result._asdict()
    print(
        json.dumps(figures)
        if arguments.json
        else "\n".join(f"{name:<18}{figure}" for name, figure in figures.items())
    )
    return 0


def collector(_: argparse.Namespace) -> int:
    from ops.lifecycle import stack

    settings = OpsSettings.load()
    feed = stack.read_state(settings.market_home).get("feed", settings.feed)
    run_module("collector", [], {"MARKET_FEED": feed})


def republish(arguments: argparse.Namespace) -> int:
    span = (("--from", arguments.start), ("--to", arguments.end))
    limits = [part for name, value in span if value for part in (name, value)]
    run_module("collector", ["--republish", *limits], {})


def tickers(arguments: argparse.Namespace) -> int:
    run_module("collector", ["--search", arguments.words, *(["--json"] if arguments.json else [])], {})


def forecast(arguments: argparse.Namespace) -> int:
    from ops.install.dependencies import ensure_java

    overrides = {"JAVA_HOME": str(ensure_java(report))}
    symbols = [part for symbol in arguments.symbol or () for part in ("--symbol", symbol)]
    run_module("gbm_analysis", [*symbols, *(["--scheduled"] if arguments.scheduled else [])], overrides)


def rebuild_bars(arguments: argparse.Namespace) -> int:
    from ops.install.dependencies import ensure_jars, ensure_java

    java = ensure_java(report)
    overrides = {"JAVA_HOME": str(java), "MARKET_JARS": str(ensure_jars(cache_folder(), java, report))}
    span = (("--from", arguments.start), ("--to", arguments.end))
    selection = [part for symbol in arguments.symbol or () for part in ("--symbol", symbol)]
    selection += [part for name, value in span if value for part in (name, value)]
    run_module("stream_processor", ["rebuild-bars", *selection], overrides)


def backtest(arguments: argparse.Namespace) -> int:
    from ops.install.dependencies import ensure_java

    overrides = {"JAVA_HOME": str(ensure_java(report_to_stderr))}
    options = {
        "--from": arguments.start,
        "--to": arguments.end,
        "--every": arguments.every,
        "--horizon": arguments.horizon,
    }
    selection = [part for symbol in arguments.symbol or () for part in ("--symbol", symbol)]
    selection += [part for name, value in options.items() if value is not None for part in (name, str(value))]
    run_module("gbm_analysis", ["backtest", *selection, *(["--json"] if arguments.json else [])], overrides)


def backup(arguments: argparse.Namespace) -> int:
    from ops.data.backup import backup
    from ops.data.backup_plan import make_due_backup, plan_backups

    settings = OpsSettings.load()
    if arguments.every:
        folder = Path(arguments.file) if arguments.file else None
        plan_backups(settings.market_home, arguments.every, arguments.keep, folder, report_to_stderr)
    elif arguments.planned:
        make_due_backup(settings, datetime.now(UTC), report_to_stderr)
    elif arguments.file:
        backup(settings, arguments.file, report_to_stderr)
    else:
        raise MarketError("Name the file of the backup, or plan backups by --every day.")
    return 0


def restore(arguments: argparse.Namespace) -> int:
    from ops.data.backup import restore

    restore(OpsSettings.load(), arguments.file, report_to_stderr)
    return 0


def test(arguments: argparse.Namespace) -> int:
    from ops.testing import runner

    return runner.run(arguments.kind, arguments.pytest)


def bench(arguments: argparse.Namespace) -> int:
    from ops.install.dependencies import ensure_java

    overrides = {"JAVA_HOME": str(ensure_java(report_to_stderr))}
    run_module("benchmarks", [*arguments.name, *(["--compare"] if arguments.compare else [])], overrides)


def prune(_: argparse.Namespace) -> int:
    from ops.install.prune import prune

    prune(cache_folder(), report)
    return 0


def secrets(arguments: argparse.Namespace) -> int:
    from ops.lifecycle.rotation import rotate

    rotate(OpsSettings.load(), arguments.name, report)
    return 0


def systemd(arguments: argparse.Namespace) -> int:
    from ops.install import systemd

    folder, systemctl = systemd.unit_folder(), systemd.find_systemctl()
    if arguments.action == "uninstall":
        systemd.uninstall(folder, systemctl, report)
        return 0
    settings = OpsSettings.load()
    site = systemd.locate(settings, "compose" if arguments.compose else "local")
    systemd.install(settings, site, folder, systemctl, report)
    return 0


def run_module(module: str, arguments: Sequence[str], overrides: Mapping[str, str]) -> NoReturn:
    """Become another program of this environment."""
    sys.stdout.flush()
    environ = {**os.environ, "TZ": "UTC", **overrides}
    os.execve(sys.executable, [sys.executable, "-P", "-m", module, *arguments], environ)  # noqa: S606


def speed(text: str) -> float | None:
    """Read a replay's speed: `max`, or how many times faster than recorded."""
    if text == "max":
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} was neither max nor a number above 0")
    return value


def count(text: str) -> int:
    """Read a number above 0."""
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} was not a number above 0")
    return int(text)


def moment(text: str) -> str:
    """Return a time as ISO 8601 in UTC."""
    try:
        return parse_moment(text).isoformat()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence."""

    def error(self, message: str) -> NoReturn:
        print(f"{message[0].upper()}{message[1:]}; see {self.prog} --help.", file=sys.stderr)
        raise SystemExit(2)


def add_collector_commands(add: Callable[[Command, str], argparse.ArgumentParser]) -> None:
    """Add the commands that are the collector's own."""
    command = add(republish, "publish the journal again under its old ids, so that nothing doubles")
    command.add_argument("--from", dest="start", metavar="TIME", help="frames received at or after (UTC)")
    command.add_argument("--to", dest="end", metavar="TIME", help="frames received before (UTC)")
    command = add(tickers, "search symbols by words: Finnhub's with FINNHUB_API_TOKEN, else the demo's")
    command.add_argument("words", metavar="WORDS", help="for example: apple")
    command.add_argument("--json", action="store_true", help="print an array of objects, one a symbol")


def add_upkeep_commands(add: Callable[[Command, str], argparse.ArgumentParser]) -> None:
    """Add what an installation needs now and then."""
    add(prune, "remove installed environments and jars that no clone uses any more")
    command = add(secrets, "give passwords new values, all or those that are named, while everything runs")
    command.add_argument("action", choices=("rotate",))
    command.add_argument("name", nargs="*", metavar="NAME", help="for example: KAFKA_COLLECTOR_PASSWORD")
    command = add(systemd, "let systemd start the stack, the collector and the hourly forecast, or no more")
    command.add_argument("action", choices=("install", "uninstall"))
    command.add_argument(
        "--compose", action="store_true", help="install the units of the stack in containers"
    )


def add_backup_options(command: argparse.ArgumentParser) -> None:
    """Add what `backup` takes."""
    command.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="a new file, or - for standard output; with --every a folder (default: backups in MARKET_HOME)",
    )
    command.add_argument(
        "--every", choices=("hour", "day", "never"), help="plan backups, or no more: the stack makes them"
    )
    command.add_argument(
        "--keep", type=count, default=7, metavar="N", help="of the planned ones the newest N (default 7)"
    )
    command.add_argument("--planned", action="store_true", help="make the planned backup if it is due")


def dead_letter_options(command: argparse.ArgumentParser) -> None:
    """Add what `dead-letters` takes."""
    command.add_argument("--symbol", metavar="S", help="only this symbol's")
    command.add_argument("--limit", type=count, default=20, metavar="N", help="the newest N (default 20)")
    command.add_argument("--json", action="store_true", help="print an array of objects")


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = Parser(
        prog="./market", description="Real-time trades, from the exchange feed to a chart and a forecast."
    )
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def add(run: Command, words: str) -> argparse.ArgumentParser:
        name = run.__name__.replace("_", "-")
        command = commands.add_parser(name, help=words, description=f"{words[0].upper()}{words[1:]}.")
        command.set_defaults(run=run)
        return command

    command = add(up, "install what is missing, start every service and return when all are ready")
    command.add_argument(
        "--feed", choices=get_args(Feed), help="default: live with FINNHUB_API_TOKEN, else demo"
    )
    command.add_argument("--keep", action="store_true", help="go live although the store holds demo data")
    add(down, "stop every service; nothing is lost")
    command = add(status, "show each service's state and the pipeline's figures")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    add(doctor, "say what is wrong and how to fix it")
    command = add(logs, "show a service's log")
    command.add_argument("service", metavar="SERVICE")
    command.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    command = add(query, "run SQL through Presto")
    command.add_argument(
        "sql", metavar="SQL", help="for example: select count(*) from cassandra.market.trades"
    )
    command.add_argument("--json", action="store_true", help="print an array of objects, one a row")
    dead_letter_options(add(dead_letters, "show what was refused, why, and where the journal has it"))
    command = add(replay, "play a recording through the feed service and the collector")
    command.add_argument(
        "file", metavar="FILE", type=Path, help="JSON Lines of received frames, plain or gzip"
    )
    command.add_argument(
        "--speed", type=speed, default=1.0, metavar="max|N", help="times the recorded pace (default 1)"
    )
    command.add_argument("--as-now", action="store_true", help="shift the times to now")
    command.add_argument(
        "--wait", action="store_true", help="return when every trade is stored and every bar is final"
    )
    command.add_argument("--into-live", action="store_true", help="allow it while the feed is live")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command = add(forecast, "run the GBM job once")
    command.add_argument("--symbol", action="append", metavar="S", help="only this symbol; may be repeated")
    command.add_argument(
        "--scheduled", action="store_true", help="forecast from the full hour; a second run writes nothing"
    )
    add_rebuild_options(add(rebuild_bars, "make bars and running averages again from stored trades"))
    add_backtest_options(
        add(backtest, "walk the forecast over stored bars, and report how good it would have been")
    )
    add(collector, "run the collector in the foreground")
    add_collector_commands(add)
    add_backup_options(
        add(
            backup,
            "back up Cassandra's tables, Superset's database and the journal's last days into one file",
        )
    )
    command = add(restore, "restore a backup into the running stack")
    command.add_argument("file", metavar="FILE", help="a backup, or - for standard input")
    command = add(reset, "remove the data (the passwords stay)")
    command.add_argument("--yes", action="store_true", help="really do it")
    add_upkeep_commands(add)
    add_developer_commands(add)
    return root


def add_developer_commands(add: Callable[[Command, str], argparse.ArgumentParser]) -> None:
    """Add the commands for who changes the code."""
    command = add(
        test,
        "run the tests: unit, integration, e2e, faults, compose (default: these), compose-faults, "
        "soak, or mutation [MODULE ...]",
    )
    command.add_argument("kind", nargs="*", metavar="KIND")
    command.add_argument(
        "--pytest", nargs=argparse.REMAINDER, default=[], metavar="ARG", help="the rest goes to pytest"
    )
    command = add(bench, "measure speed beside peers and keep the results (see benchmarks/README.md)")
    command.add_argument("name", nargs="*", metavar="NAME", help="stream, collector, gbm, dashboard, page")
    command.add_argument("--compare", action="store_true", help="name what got worse than the kept results")


def add_rebuild_options(command: argparse.ArgumentParser) -> None:
    """Add what `rebuild-bars` takes."""
    command.add_argument("--symbol", action="append", metavar="S", help="only this symbol; may be repeated")
    command.add_argument("--from", dest="start", type=moment, metavar="T", help="windows from T on (UTC)")
    command.add_argument("--to", dest="end", type=moment, metavar="T", help="windows before T (UTC)")


def add_backtest_options(command: argparse.ArgumentParser) -> None:
    """Add what `backtest` takes."""
    command.add_argument("--symbol", action="append", metavar="S", help="only this symbol; may be repeated")
    command.add_argument(
        "--from", dest="start", metavar="T", help="the first forecast (UTC); default: all bars"
    )
    command.add_argument("--to", dest="end", metavar="T", help="the last outcome (UTC); default: now")
    command.add_argument(
        "--every", type=int, metavar="SECONDS", help="from forecast to forecast (default 3600)"
    )
    command.add_argument(
        "--horizon", type=int, metavar="SECONDS", help="how far ahead (default: GBM_HORIZON_SECONDS)"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")


class LogFile(RotatingFileHandler):
    """Appends to `market.log`, which is made with the first line; a disk that is full costs only the line."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "logs" / "market.log", maxBytes=LOG_BYTES, backupCount=1, delay=True)
        self.setLevel(logging.ERROR)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            super().emit(record)

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    log_file = LogFile(market_home())
    logging.getLogger().addHandler(log_file)
    try:
        options = parser().parse_args(arguments)
        adopt_env_file()
        adopt_running_ports(market_home())
        return int(options.run(options))
    except (MarketError, SettingsError, BootstrapError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; ./market status shows what runs, ./market down stops it.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        log.exception("An unexpected error ended the command %s.", sys.argv[1:])
        print(
            f"An unexpected error was met: {type(error).__name__}: {str(error)[:300]}; "
            f"the traceback is in {log_file.baseFilename}.",
            file=sys.stderr,
        )
        return 1
    finally:
        logging.getLogger().removeHandler(log_file)
        log_file.close()
