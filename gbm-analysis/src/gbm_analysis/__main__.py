"""Forecast once, or every hour."""

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
    from gbm_analysis.command import forecast

    return forecast(options.symbol, options.scheduled)


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
