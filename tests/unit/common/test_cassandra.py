"""What the driver's errors mean: a server that does not answer, or a mistake that no retry cures."""

import logging

import pytest
from cassandra import (
    AuthenticationFailed,
    ConsistencyLevel,
    InvalidRequest,
    OperationTimedOut,
    ReadTimeout,
    Unauthorized,
    Unavailable,
    UnresolvableContactPoints,
)
from cassandra.cluster import NoHostAvailable
from cassandra.connection import ConnectionShutdown
from cassandra.protocol import OverloadedErrorMessage, SyntaxException
from pydantic import SecretStr

from common.cassandra import ERRORS, connect, explain_error, is_login_refused, is_transient
from common.settings import CassandraSettings
from stack import free_ports

ADDRESS = "127.0.0.1:9042"
TRANSIENT = [
    NoHostAvailable("Unable to connect", {ADDRESS: ConnectionRefusedError()}),
    NoHostAvailable("Unable to connect to any servers using keyspace 'market'", [ADDRESS]),
    OperationTimedOut(),
    ReadTimeout("Read timed out", consistency=ConsistencyLevel.ONE),
    Unavailable("Cannot achieve consistency", consistency=ConsistencyLevel.ONE),
    UnresolvableContactPoints({}),
    ConnectionShutdown("shut down"),
    OverloadedErrorMessage(0x1001, "overloaded", None),
]
REFUSED = NoHostAvailable("Unable to connect", {ADDRESS: AuthenticationFailed("bad credentials")})
MISTAKES = [
    InvalidRequest('Error from server: code=2200 [Invalid query] message="table trade does not exist"'),
    Unauthorized("User ops has no SELECT permission on <table market.trades>"),
    SyntaxException(0x2000, "no viable alternative", None),
    AuthenticationFailed("bad credentials"),
    REFUSED,
]


@pytest.mark.parametrize("error", TRANSIENT, ids=lambda error: type(error).__name__)
def test_a_server_that_does_not_answer_is_transient_and_not_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(error, ERRORS)
    assert is_transient(error)
    assert explain_error(error) == "Cassandra does not answer."
    assert caplog.records == []


@pytest.mark.parametrize("error", MISTAKES, ids=lambda error: type(error).__name__)
def test_a_mistake_is_named_and_logged_with_its_traceback(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(error, ERRORS)
    assert not is_transient(error)
    try:
        raise error
    except ERRORS as raised:
        sentence = explain_error(raised)
    assert "does not answer" not in sentence
    assert sentence.endswith(".")
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[1] is error
    assert "Traceback" in caplog.text


def test_a_mistake_s_own_words_are_in_its_sentence() -> None:
    assert "no SELECT permission on <table market.trades>" in explain_error(MISTAKES[1])
    assert explain_error(MISTAKES[1]).startswith("Cassandra refused a request: Unauthorized: ")


def test_a_refused_login_is_told_from_a_refused_request() -> None:
    assert is_login_refused(REFUSED)
    assert "refuses the login" in explain_error(REFUSED)
    assert not any(map(is_login_refused, [*TRANSIENT, *MISTAKES[:3]]))


def test_nothing_at_the_address_is_transient() -> None:
    settings = CassandraSettings(cassandra_port=free_ports(1)[0])
    with pytest.raises(NoHostAvailable) as raised:
        connect(settings, "ops", SecretStr("x"))
    assert is_transient(raised.value)
