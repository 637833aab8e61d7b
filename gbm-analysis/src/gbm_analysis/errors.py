"""Which errors end a run: no fault of one symbol, but of all that it runs on."""

from cassandra import OperationTimedOut
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionBusy, ConnectionException

from gbm_analysis.lock import LockError
from gbm_analysis.simulation import SparkError

RUN_ERRORS = (NoHostAvailable, OperationTimedOut, ConnectionException, ConnectionBusy, SparkError, LockError)


def explain(error: Exception) -> str:
    """Return an unexpected error in one line."""
    return f"{type(error).__name__}, {' '.join(str(error).split())}"
