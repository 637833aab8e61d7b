"""Logins to the servers with the rights of the `market` command."""

from collections.abc import Iterator
from contextlib import contextmanager

from cassandra.cluster import Session

from common.cassandra import ERRORS, connect, explain_error, is_transient
from common.kafka import client_config
from ops.errors import MarketError
from ops.settings import OpsSettings


def kafka_config(settings: OpsSettings) -> dict[str, str | int]:
    """Return the librdkafka settings of a client that may read everything and logs nothing itself.

    Its groups, where it needs any, are called `ops.`...
    """
    return client_config(settings, "ops", settings.kafka_ops_password) | {"log_level": 0}


def open_session(settings: OpsSettings) -> Session:
    """Log in to Cassandra; raise MarketError when it does not answer or refuses the login."""
    try:
        return connect(settings, "ops", settings.cassandra_ops_password)
    except ERRORS as error:
        raise cassandra_error(error, settings) from None


@contextmanager
def cassandra_session(settings: OpsSettings) -> Iterator[Session]:
    """Give a session; raise MarketError for every error of the driver."""
    session = open_session(settings)
    try:
        yield session
    except ERRORS as error:
        raise cassandra_error(error, settings) from None
    finally:
        session.cluster.shutdown()


def cassandra_error(error: BaseException, settings: OpsSettings) -> MarketError:
    """Return what to tell the user of an error of the driver."""
    if is_transient(error):
        return MarketError(
            f"Cassandra did not answer at {settings.cassandra_host}:{settings.cassandra_port}; "
            "see ./market status, or start the stack with ./market up."
        )
    return MarketError(explain_error(error))
