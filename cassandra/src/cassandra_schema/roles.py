"""Who may do what in Cassandra; pure."""

from collections.abc import Mapping

from pydantic import SecretStr

from cassandra_schema.settings import CassandraSchemaSettings
from common.cassandra import KEYSPACE

STREAM_TABLES = ("symbols", "trades", "bars_5s", "running_averages_15s", "feed_events")
FORECAST_TABLES = (
    "gbm_parameters",
    "gbm_forecasts",
    "gbm_distributions",
    "gbm_scores",
    "gbm_judgements",
    "gbm_locks",
)

Grants = dict[str, set[str]]
"""Permissions by resource, as Cassandra names them: `data/<keyspace>` or `data/<keyspace>/<table>`."""

_EVERYTHING = f"data/{KEYSPACE}"
ROLES: dict[str, Grants] = {
    "stream_processor": {f"data/{KEYSPACE}/{table}": {"SELECT", "MODIFY"} for table in STREAM_TABLES},
    "gbm_analysis": {
        _EVERYTHING: {"SELECT"},
        **{f"data/{KEYSPACE}/{table}": {"MODIFY"} for table in FORECAST_TABLES},
    },
    "presto": {_EVERYTHING: {"SELECT"}},
    "streamlit": {_EVERYTHING: {"SELECT"}},
    "ops": {_EVERYTHING: {"SELECT"}},
}
"""The clients' roles; `ops` is the last, so that who logs in with it finds the others in place."""


def passwords(settings: CassandraSchemaSettings) -> dict[str, SecretStr]:
    """Return each client role's password."""
    return {role: getattr(settings, f"cassandra_{role}_password") for role in ROLES}


def grant_statements(role: str, wanted: Mapping[str, set[str]], present: Mapping[str, set[str]]) -> list[str]:
    """Return the statements that turn the present permissions of a role into the wanted ones."""
    statements = []
    for resource in sorted({*wanted, *present}):
        have, want = present.get(resource, set()), wanted.get(resource, set())
        statements += [f"GRANT {right} ON {_cql(resource)} TO {role}" for right in sorted(want - have)]
        statements += [f"REVOKE {right} ON {_cql(resource)} FROM {role}" for right in sorted(have - want)]
    return statements


def _cql(resource: str) -> str:
    match resource.split("/"):
        case ["data"]:
            return "ALL KEYSPACES"
        case ["data", keyspace]:
            return f'KEYSPACE "{keyspace}"'
        case ["data", keyspace, table]:
            return f'TABLE "{keyspace}"."{table}"'
        case ["roles"]:
            return "ALL ROLES"
        case ["roles", role]:
            return f'ROLE "{role}"'
    raise ValueError(f"a resource was not of keyspaces, tables or roles: {resource}")
