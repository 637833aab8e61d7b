"""Errors in one line, and which of them end a run."""

import pytest
from cassandra import InvalidRequest, OperationTimedOut
from cassandra.cluster import NoHostAvailable

from gbm_analysis.errors import RUN_ERRORS, explain
from gbm_analysis.lock import LockError
from gbm_analysis.simulation import SparkError


def test_an_error_is_one_line_with_its_kind() -> None:
    assert explain(ValueError("no bars\n  of\tA")) == "ValueError, no bars of A"


@pytest.mark.parametrize(
    "error", [NoHostAvailable("none", {}), OperationTimedOut(), SparkError("lost"), LockError("lost")]
)
def test_what_all_symbols_need_ends_the_run(error: Exception) -> None:
    assert isinstance(error, RUN_ERRORS)


@pytest.mark.parametrize("error", [InvalidRequest("no such column"), ValueError(), ZeroDivisionError()])
def test_what_one_symbol_is_wrong_about_does_not_end_the_run(error: Exception) -> None:
    assert not isinstance(error, RUN_ERRORS)
