"""How clients log in to Cassandra, and what its errors mean."""

import logging
from typing import Any

from cassandra import (
    AuthenticationFailed,
    DriverException,
    OperationTimedOut,
    RequestExecutionException,
    UnresolvableContactPoints,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, Session
from cassandra.connection import ConnectionBusy, ConnectionException
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.protocol import ErrorMessage, IsBootstrappingErrorMessage, OverloadedErrorMessage
from cassandra.query import ConsistencyLevel
from pydantic import SecretStr

from common.settings import CassandraSettings

KEYSPACE = "market"
DATACENTER = "datacenter1"
RECONNECT_SECONDS = 2.0
# Everything that the driver raises; it has no base class for all of it.
ERRORS = (DriverException, NoHostAvailable, ConnectionException, ConnectionBusy, ErrorMessage)
_TRANSIENT = (
    NoHostAvailable,
    OperationTimedOut,
    RequestExecutionException,
    UnresolvableContactPoints,
    ConnectionException,
    ConnectionBusy,
    IsBootstrappingErrorMessage,
    OverloadedErrorMessage,
)

log = logging.getLogger(__name__)


def connect(
    settings: CassandraSettings,
    username: str,
    password: SecretStr,
    keyspace: str | None = KEYSPACE,
    **options: Any,
) -> Session:
    """Open a session, which finds a server again that was away; close it with `session.cluster.shutdown()`.

    Raises cassandra.cluster.NoHostAvailable when the server is away or refuses the login.
    """
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=DATACENTER)),
        consistency_level=ConsistencyLevel.LOCAL_QUORUM,
        request_timeout=30,
        **options,
    )
    cluster = Cluster(
        [settings.cassandra_host],
        port=settings.cassandra_port,
        auth_provider=PlainTextAuthProvider(username, password.get_secret_value()),
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        protocol_version=5,
        connect_timeout=5,
        reconnection_policy=ConstantReconnectionPolicy(RECONNECT_SECONDS, max_attempts=None),
    )
    try:
        return cluster.connect(keyspace)
    except Exception:
        cluster.shutdown()
        raise


def is_login_refused(error: BaseException) -> bool:
    """Return whether Cassandra answered, and refused the name or the password."""
    # A host's own error; the driver gives a plain list of hosts where none has the keyspace yet.
    causes = error.errors if isinstance(error, NoHostAvailable) else None
    reasons = causes.values() if isinstance(causes, dict) else [error]
    return any(isinstance(reason, AuthenticationFailed) for reason in reasons)


def is_transient(error: BaseException) -> bool:
    """Return whether Cassandra does not answer, or not in time, so that the same request may succeed later.

    Other errors are mistakes: a login, right, table or column that is missing.
    """
    return isinstance(error, _TRANSIENT) and not is_login_refused(error)


def explain_error(error: BaseException) -> str:
    """Return a sentence about an error of the driver; one that is a mistake is logged with its traceback."""
    if is_transient(error):
        return "Cassandra does not answer."
    log.error("Cassandra refused a request", exc_info=error)
    if is_login_refused(error):
        return "Cassandra refuses the login: the password is not the one it was started with."
    reason = " ".join(str(error).split()).rstrip(".")
    return f"Cassandra refused a request: {type(error).__name__}: {reason}."
