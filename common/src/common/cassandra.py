"""How clients log in to Cassandra."""

from typing import Any

from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import ConsistencyLevel
from pydantic import SecretStr

from common.settings import CassandraSettings

KEYSPACE = "market"
DATACENTER = "datacenter1"
RECONNECT_SECONDS = 2.0


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
