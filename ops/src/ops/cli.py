"""The `market` command line."""

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args

from common.settings import Feed, SettingsError, market_home
from ops.errors import MarketError
from ops.install.bootstrap import BootstrapError
from ops.lifecycle.stack import adopt_running_ports
from ops.settings import TOKEN, OpsSettings, adopt_env_file

Command = Callable[[argparse.Namespace], int]


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def say_beside(line: str) -> None:
    """Print a line beside a command's result."""
    print(line, file=sys.stderr, flush=True)


def up(arguments: argparse.Namespace) -> int:
    from ops.inspection.status import urls
    from ops.lifecycle import stack

    settings = OpsSettings.load()
    feed = stack.up(settings, arguments.feed, arguments.keep, say)
    say("\nFrom your browser:")
    for name, url in urls().items():
        say(f"  {name:<11}{url}")
    secrets = settings.market_home / "secrets.env"
    say(
        f"Superset's logins are admin and viewer; their passwords are SUPERSET_ADMIN_PASSWORD and "
        f"SUPERSET_VIEWER_PASSWORD in {secrets}."
    )
    if feed == "demo":
        say(f"DEMO DATA: simulated prices. For live ones set {TOKEN}, then ./market down and up --feed live.")
    if feed == "none":
        say("No feed is connected; ./market replay FILE plays a recording.")
    return 0


def down(arguments: argparse.Namespace) -> int:
    from ops.lifecycle import stack

    stack.down(OpsSettings.load(), say)
    return 0


def reset(arguments: argparse.Namespace) -> int:
    from ops.lifecycle import stack

    settings = OpsSettings.load()
    if not arguments.yes:
        raise MarketError(
            f"This removes all trades, bars and forecasts in {settings.market_home}; say --yes to do it."
        )
    stack.reset(settings, say)
    return 0


def status(arguments: argparse.Namespace) -> int:
    from ops.inspection import status

    found = status.status(OpsSettings.load())
    print(json.dumps(found, indent=2) if arguments.json else status.text(found))
    return 0


def doctor(arguments: argparse.Namespace) -> int:
    from ops.inspection.doctor import diagnose

    bad = 0
    for finding in diagnose(OpsSettings.load()):
        say(
            f"{'✔' if finding.good else '✘'} {finding.what}"
            + ("" if finding.good else f"\n    → {finding.fix}")
        )
        bad += not finding.good
    if bad:
        raise MarketError(f"{bad} thing{'s' if bad > 1 else ''} should be fixed (marked ✘ above).")
    return 0


def logs(arguments: argparse.Namespace) -> int:
    from ops.inspection import logs
    from ops.lifecycle.services import SERVICES

    known = (*(service.name for service in SERVICES), "supervisord", "market")
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
        say_beside,
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
    chosen = [part for name, value in span if value for part in (name, value)]
    run_module("collector", ["--republish", *chosen], {})


def tickers(arguments: argparse.Namespace) -> int:
    run_module("collector", ["--search", arguments.words, *(["--json"] if arguments.json else [])], {})


def forecast(arguments: argparse.Namespace) -> int:
    from ops.install.dependencies import ensure_java

    overrides = {"JAVA_HOME": str(ensure_java(say))}
    chosen = [part for symbol in arguments.symbol or () for part in ("--symbol", symbol)]
    run_module("gbm_analysis", [*chosen, *(["--scheduled"] if arguments.scheduled else [])], overrides)


def backtest(arguments: argparse.Namespace) -> int:
    from ops.install.dependencies import ensure_java

    overrides = {"JAVA_HOME": str(ensure_java(say_beside))}
    options = {
        "--from": arguments.start,
        "--to": arguments.end,
        "--every": arguments.every,
        "--horizon": arguments.horizon,
    }
    chosen = [part for symbol in arguments.symbol or () for part in ("--symbol", symbol)]
    chosen += [part for name, value in options.items() if value is not None for part in (name, str(value))]
    run_module("gbm_analysis", ["backtest", *chosen, *(["--json"] if arguments.json else [])], overrides)


def backup(arguments: argparse.Namespace) -> int:
    from ops.data.backup import backup

    backup(OpsSettings.load(), arguments.file, say_beside)
    return 0


def restore(arguments: argparse.Namespace) -> int:
    from ops.data.backup import restore

    restore(OpsSettings.load(), arguments.file, say_beside)
    return 0


def test(arguments: argparse.Namespace) -> int:
    from ops.testing import runner

    return runner.run(arguments.kind, arguments.pytest)


def bench(arguments: argparse.Namespace) -> int:
    from ops.install.dependencies import ensure_java

    overrides = {"JAVA_HOME": str(ensure_java(say_beside))}
    run_module("benchmarks", [*arguments.name, *(["--compare"] if arguments.compare else [])], overrides)


def systemd(arguments: argparse.Namespace) -> int:
    from ops.install import systemd

    folder, systemctl = systemd.unit_folder(), systemd.find_systemctl()
    if arguments.action == "uninstall":
        systemd.uninstall(folder, systemctl, say)
        return 0
    settings = OpsSettings.load()
    site = systemd.locate(settings, "compose" if arguments.compose else "local")
    systemd.install(settings, site, folder, systemctl, say)
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


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence."""

    def error(self, message: str) -> NoReturn:
        print(f"{message[0].upper()}{message[1:]}; see {self.prog} --help.", file=sys.stderr)
        raise SystemExit(2)


def add_collector_commands(add: Callable[[Command, str], argparse.ArgumentParser]) -> None:
    """Add the commands that are the collector's own."""
    one = add(republish, "publish the journal again under its old ids, so that nothing doubles")
    one.add_argument("--from", dest="start", metavar="TIME", help="frames received at or after (UTC)")
    one.add_argument("--to", dest="end", metavar="TIME", help="frames received before (UTC)")
    one = add(tickers, "search symbols by words: Finnhub's with FINNHUB_API_TOKEN, else the demo's")
    one.add_argument("words", metavar="WORDS", help="for example: apple")
    one.add_argument("--json", action="store_true", help="print an array of objects, one a symbol")


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

    one = add(up, "install what is missing, start every service and return when all are ready")
    one.add_argument("--feed", choices=get_args(Feed), help="default: live with FINNHUB_API_TOKEN, else demo")
    one.add_argument("--keep", action="store_true", help="go live although the store holds demo data")
    add(down, "stop every service; nothing is lost")
    one = add(status, "show each service's state and the pipeline's figures")
    one.add_argument("--json", action="store_true", help="print one JSON object")
    add(doctor, "say what is wrong and how to fix it")
    one = add(logs, "show a service's log")
    one.add_argument("service", metavar="SERVICE")
    one.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    one = add(query, "run SQL through Presto")
    one.add_argument("sql", metavar="SQL", help="for example: select count(*) from cassandra.market.trades")
    one.add_argument("--json", action="store_true", help="print an array of objects, one a row")
    dead_letter_options(add(dead_letters, "show what was refused, why, and where the journal has it"))
    one = add(replay, "play a recording through the feed service and the collector")
    one.add_argument("file", metavar="FILE", type=Path, help="JSON Lines of received frames, plain or gzip")
    one.add_argument(
        "--speed", type=speed, default=1.0, metavar="max|N", help="times the recorded pace (default 1)"
    )
    one.add_argument("--as-now", action="store_true", help="shift the times to now")
    one.add_argument(
        "--wait", action="store_true", help="return when every trade is stored and every bar is final"
    )
    one.add_argument("--into-live", action="store_true", help="allow it while the feed is live")
    one.add_argument("--json", action="store_true", help="print one JSON object")
    one = add(forecast, "run the GBM job once")
    one.add_argument("--symbol", action="append", metavar="S", help="only this symbol; may be repeated")
    one.add_argument(
        "--scheduled", action="store_true", help="forecast from the full hour; a second run writes nothing"
    )
    add_backtest_options(
        add(backtest, "walk the forecast over stored bars, and report how good it would have been")
    )
    add(collector, "run the collector in the foreground")
    add_collector_commands(add)
    one = add(backup, "back up Cassandra's tables and Superset's database into one file")
    one.add_argument("file", metavar="FILE", help="a new file, or - for standard output")
    one = add(restore, "bring a backup back into the running stack")
    one.add_argument("file", metavar="FILE", help="a backup, or - for standard input")
    one = add(reset, "remove the data (the passwords stay)")
    one.add_argument("--yes", action="store_true", help="really do it")
    one = add(systemd, "let systemd start the stack, the collector and the hourly forecast, or no more")
    one.add_argument("action", choices=("install", "uninstall"))
    one.add_argument("--compose", action="store_true", help="install the units of the stack in containers")
    one = add(
        test,
        "run the tests: unit, integration, e2e, faults, compose (default: these), compose-faults, "
        "soak, or mutation [MODULE ...]",
    )
    one.add_argument("kind", nargs="*", metavar="KIND")
    one.add_argument(
        "--pytest", nargs=argparse.REMAINDER, default=[], metavar="ARG", help="the rest goes to pytest"
    )
    one = add(bench, "measure speed beside peers and keep the results (see benchmarks/README.md)")
    one.add_argument("name", nargs="*", metavar="NAME", help="stream, collector, gbm, dashboard, page")
    one.add_argument("--compare", action="store_true", help="name what got worse than the kept results")
    return root


def add_backtest_options(command: argparse.ArgumentParser) -> None:
    """Let the backtest be told what to walk over."""
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


def keep_traceback() -> Path | None:
    """Write the present traceback to the log; return where, or None when that cannot be written."""
    path = market_home() / "logs" / "market.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as log:
            log.write(traceback.format_exc())
    except OSError:
        return None
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status."""
    try:
        chosen: Any = parser().parse_args(arguments)
        adopt_env_file()
        adopt_running_ports(market_home())
        return int(chosen.run(chosen))
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
        path = keep_traceback()
        where = f"; the traceback is in {path}" if path else ""
        print(
            f"An unexpected error was met: {type(error).__name__}: {str(error)[:300]}{where}.",
            file=sys.stderr,
        )
        return 1
