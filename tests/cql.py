"""The tables of Cassandra's schema, read from its files."""

import re
from typing import NamedTuple

from cassandra_schema.migrations import read_migrations
from cassandra_schema.server import CREATE_HISTORY, CREATE_PROGRESS

CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\s*\((.*?)\)\s*(?:WITH .*)?$", re.DOTALL)
ADD = re.compile(r"ALTER TABLE (\w+) ADD (?:IF NOT EXISTS )?\(?(.*?)\)?$", re.DOTALL)
OPTIONS = re.compile(r"ALTER TABLE \w+ WITH ")
COLUMN = re.compile(r"^(\w+) ([\w<>, ]+?)( PRIMARY KEY)?$")
KEY = re.compile(r"PRIMARY KEY (\(.*\))$")


class Table(NamedTuple):
    """A table: its primary key as CQL has it, and its columns with their types."""

    key: str
    columns: dict[str, str]


def read_tables() -> dict[str, Table]:
    """Return what the schema's files make, one after the other; fail at a statement of another kind."""
    tables: dict[str, Table] = {}
    statements = [statement for migration in read_migrations() for statement in migration.statements]
    for statement in (*statements, CREATE_HISTORY, CREATE_PROGRESS):
        created, added = CREATE.match(statement), ADD.match(statement)
        if created:
            tables[created[1]] = Table(*_columns(created[2]))
        elif added:
            tables[added[1]].columns.update(_columns(added[2])[1])
        elif not OPTIONS.match(statement):
            raise AssertionError(f"neither a new table nor new columns nor options: {statement}")
    return tables


def _columns(text: str) -> tuple[str, dict[str, str]]:
    key, columns = "", {}
    for part in re.split(r",\s*(?![^(<]*[)>])", text.strip()):
        if found := KEY.match(part):
            key = found[1]
        elif found := COLUMN.match(part):
            columns[found[1]] = found[2]
            key = f"({found[1]})" if found[3] else key
        else:
            raise AssertionError(f"not a column: {part}")
    return key, columns
