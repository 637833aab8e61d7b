"""One run from the command line: log in, run, and say in a sentence what went wrong."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from common.cassandra import ERRORS, connect, explain_error
from common.settings import SettingsError
from gbm_analysis.job import Run, UnknownSymbolError
from gbm_analysis.lock import LockError, RunLock
from gbm_analysis.settings import GbmSettings
from gbm_analysis.simulation import LazySpark, SparkError
from gbm_analysis.store import Store

ROLE = "gbm_analysis"


def forecast(symbols: Sequence[str], scheduled: bool) -> int:
    """Forecast these symbols, or all; return the exit status."""
    try:
        settings = GbmSettings.load()
    except SettingsError as error:
        return _fail(str(error))
    try:
        session = connect(settings, ROLE, settings.cassandra_gbm_analysis_password)
        try:
            with RunLock(session, _report) as lock, LazySpark(settings) as spark:
                run = Run(Store(session), settings, lock, spark.context, _report)
                outcome = run.run(names=symbols, scheduled=scheduled, now=datetime.now(UTC))
            outcome.write(settings.market_home)
        finally:
            session.cluster.shutdown()
    except (UnknownSymbolError, SparkError, LockError) as error:
        return _fail(str(error))
    except ERRORS as error:
        return _fail(f"{settings.cassandra_host}:{settings.cassandra_port}: {explain_error(error)}")
    except KeyboardInterrupt:
        return _fail("The forecast was interrupted; what it had not finished is missing.")
    return 1 if outcome.failed and not outcome.forecast else 0


def _report(line: str) -> None:
    print(line, flush=True)


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
