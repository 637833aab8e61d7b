import pytest

from cassandra_schema.roles import FORECAST_TABLES, ROLES, STREAM_TABLES, grant_statements


def test_each_table_has_exactly_one_writer() -> None:
    writers = {
        table: {role for role, grants in ROLES.items() if "MODIFY" in grants.get(f"data/market/{table}", ())}
        for table in (*STREAM_TABLES, *FORECAST_TABLES)
    }

    assert writers == {
        **{table: {"stream_processor"} for table in STREAM_TABLES},
        **{table: {"gbm_analysis"} for table in FORECAST_TABLES},
    }


def test_nobody_may_more_than_read_and_modify_tables() -> None:
    assert {right for grants in ROLES.values() for rights in grants.values() for right in rights} == {
        "SELECT",
        "MODIFY",
    }
    assert not any("MODIFY" in grants.get("data/market", ()) for grants in ROLES.values())


def test_missing_rights_are_granted_and_others_revoked() -> None:
    wanted = {"data/market": {"SELECT"}, "data/market/trades": {"MODIFY"}}
    present = {"data/market": {"SELECT", "DROP"}, "data": {"CREATE"}, "roles/admin": {"ALTER"}}

    assert grant_statements("presto", wanted, present) == [
        "REVOKE CREATE ON ALL KEYSPACES FROM presto",
        'REVOKE DROP ON KEYSPACE "market" FROM presto',
        'GRANT MODIFY ON TABLE "market"."trades" TO presto',
        'REVOKE ALTER ON ROLE "admin" FROM presto',
    ]


@pytest.mark.parametrize("role", ROLES)
def test_the_wanted_rights_need_no_change(role: str) -> None:
    assert grant_statements(role, ROLES[role], ROLES[role]) == []
