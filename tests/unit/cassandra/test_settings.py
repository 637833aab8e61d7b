"""Which settings of the schema are taken."""

import pytest
from pydantic import ValidationError

from cassandra_schema.roles import ROLES, passwords
from cassandra_schema.settings import CassandraSchemaSettings

PASSWORDS = {f"cassandra_{role}_password": f"of {role}" for role in ("admin", *ROLES)}


@pytest.mark.parametrize("name", ["trades", "bars", "forecasts"])
def test_rows_are_kept_for_ever_or_up_to_twenty_years(name: str) -> None:
    for days in (0, 7300):
        CassandraSchemaSettings.model_validate({**PASSWORDS, f"cassandra_{name}_ttl_days": days})
    for days in (-1, 7301):
        with pytest.raises(ValidationError, match=f"cassandra_{name}_ttl_days"):
            CassandraSchemaSettings.model_validate({**PASSWORDS, f"cassandra_{name}_ttl_days": days})


def test_a_row_is_stored_at_least_once() -> None:
    with pytest.raises(ValidationError, match="cassandra_replication"):
        CassandraSchemaSettings.model_validate({**PASSWORDS, "cassandra_replication": 0})


def test_each_role_has_its_own_password() -> None:
    found = passwords(CassandraSchemaSettings.model_validate(PASSWORDS))
    assert {role: password.get_secret_value() for role, password in found.items()} == {
        role: f"of {role}" for role in ROLES
    }
