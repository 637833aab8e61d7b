"""Forecast once, or every hour; or walk the forecast over stored bars."""

import argparse
import logging
import sys
from collections.abc import Sequence

from common.logs import start_logging
from common.metrics import MetricsError
from common.settings import SettingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="gbm_analysis", description=__doc__)
    parser.add_argument(
        "--symbol", nargs="+", action="extend", default=[], metavar="S", help="only these symbols"
    )
    parser.add_argument("command", nargs="?", choices=("forecast", "backtest"), default="forecast")
    walk = parser.add_argument_group("backtest")
    walk.add_argument("--from", dest="start", metavar="T", help="the first forecast (UTC); default: all bars")
    walk.add_argument("--to", dest="end", metavar="T", help="the last outcome (UTC); default: now")
    walk.add_argument("--every", type=int, default=3600, metavar="SECONDS", help="from forecast to forecast")
    walk.add_argument("--horizon", type=int, metavar="SECONDS", help="default: GBM_HORIZON_SECONDS")
    walk.add_argument("--json", action="store_true", help="print one JSON object")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--scheduled", action="store_true", help="as of the full hour, unless that is there")
    when.add_argument("--every-hour", action="store_true", help="stay, and run --scheduled every hour")
    options = parser.parse_args(arguments)
    start_logging(libraries={"py4j": logging.WARNING, "cassandra": logging.CRITICAL})
    # Only what is asked for is imported: the service that waits for the hour stays small.
    if options.every_hour:
        if options.symbol:
            parser.error("--every-hour forecasts all symbols, and does not go with --symbol")
        return _serve()
    from gbm_analysis.command import run_backtest, run_forecast

    if options.command == "backtest":
        return run_backtest(
            options.symbol,
            start=options.start,
            end=options.end,
            every=options.every,
            horizon=options.horizon,
            as_json=options.json,
        )
    return run_forecast(options.symbol, options.scheduled)


def _serve() -> int:
    from gbm_analysis.scheduler import run_every_hour
    from gbm_analysis.settings import GbmSettings

    try:
        run_every_hour(GbmSettings.load())
    except (SettingsError, MetricsError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
