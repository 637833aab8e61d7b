"""What went wrong, in one sentence without Java's or Python's traceback."""

from typing import Any

from py4j.protocol import Py4JJavaError

from common.cassandra import ERRORS, explain_error
from common.spark import java_message

# What the connector adds to the reason why rows were not written.
CONNECTOR_NOTE = "Please check the executor logs"


def explain(error: Any) -> str:
    """Return why something failed: the cause behind what Spark wraps around it."""
    if isinstance(error, ERRORS):
        return explain_error(error)
    if not isinstance(error, Py4JJavaError):
        return java_message(error)
    cause = error.java_exception
    while (deeper := cause.getCause()) is not None:
        cause = deeper
    reason = " ".join(str(cause.getMessage() or cause.toString()).partition(CONNECTOR_NOTE)[0].split())
    return f"{reason.rstrip('.')}."
