"""What the preparation of Cassandra says when it cannot begin."""

import pytest
from pydantic import SecretStr

from cassandra_schema import server
from cassandra_schema.migrations import SchemaError
from cassandra_schema.roles import ROLES
from cassandra_schema.settings import CassandraSchemaSettings
from stack import free_ports


def test_a_server_that_does_not_answer_is_named_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    [port] = free_ports(1)
    monkeypatch.setattr(server, "START_SECONDS", 0.3)
    passwords = {f"cassandra_{role}_password": SecretStr("secret") for role in ("admin", *ROLES)}
    settings = CassandraSchemaSettings.model_validate(
        {**passwords, "cassandra_host": "127.0.0.1", "cassandra_port": port}
    )
    with pytest.raises(SchemaError, match=f"Cassandra did not answer at 127.0.0.1:{port} within"):
        server.prepare(settings, [])
