"""One run from the command line: log in, run, and say in a sentence what went wrong."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from cassandra import AuthenticationFailed, DriverException
from cassandra.cluster import NoHostAvailable

from common.cassandra import connect
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
    except (DriverException, NoHostAvailable) as error:
        return _fail(_explain(error, settings))
    except KeyboardInterrupt:
        return _fail("The forecast was interrupted; what it had not finished is missing.")
    return 0


def _explain(error: Exception, settings: GbmSettings) -> str:
    place = f"Cassandra at {settings.cassandra_host}:{settings.cassandra_port}"
    if not isinstance(error, NoHostAvailable):
        return f"{place} did not do its part: {type(error).__name__}, {error}"
    if any(isinstance(cause, AuthenticationFailed) for cause in error.errors.values()):
        return f"{place} refused the login of {ROLE}: the secrets were not those it was started with."
    return f"{place} did not answer: the stack was not up."


def _fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1
