"""One run from the command line: log in, run, and say in a sentence what went wrong."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from common.cassandra import ERRORS, connect, explain_error
from common.settings import SettingsError
from gbm_analysis.job import UnknownSymbolError, run
from gbm_analysis.settings import GbmSettings
from gbm_analysis.simulation import SparkError
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
            now = datetime.now(UTC)
            run(Store(session), settings, names=symbols, scheduled=scheduled, now=now, report=print)
        finally:
            session.cluster.shutdown()
    except (UnknownSymbolError, SparkError) as error:
        return _fail(str(error))
    except ERRORS as error:
        return _fail(f"{settings.cassandra_host}:{settings.cassandra_port}: {explain_error(error)}")
    except KeyboardInterrupt:
        return _fail("The forecast was interrupted; what it had not finished is missing.")
    return 0


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
