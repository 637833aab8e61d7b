from pathlib import Path

import pytest

from cassandra_schema.migrations import Migration, SchemaError, pending, read_migrations

FIRST = Migration(1, "market", "CREATE TABLE a (b int PRIMARY KEY);\n")
SECOND = Migration(2, "more", "ALTER TABLE a ADD c int;\n")


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).write_text("SELECT 1;\n")
    return folder


def test_the_projects_own_steps_can_be_read() -> None:
    migrations = read_migrations()

    assert [migration.version for migration in migrations] == list(range(1, len(migrations) + 1))
    assert all(migration.statements for migration in migrations)


def test_steps_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    migrations = read_migrations(write(tmp_path, "003_c.cql", "001_z.cql", "002_a.cql"))

    assert [(migration.version, migration.name) for migration in migrations] == [(1, "z"), (2, "a"), (3, "c")]


@pytest.mark.parametrize(
    "names",
    [("002_b.cql",), ("001_a.cql", "003_c.cql"), ("001_a.cql", "001_b.cql"), ("first.cql",), ("001-a.cql",)],
)
def test_a_missing_or_misnamed_step_is_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(SchemaError, match=names[-1]):
        read_migrations(write(tmp_path, *names))


def test_a_folder_without_steps_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="No schema files"):
        read_migrations(tmp_path)


def test_statements_end_at_line_ends_and_comments_are_left_out() -> None:
    text = """
-- a; comment;
CREATE TABLE a (
    -- inside;
    b text
);

INSERT INTO a (b) VALUES ('x;y');
"""

    assert Migration(1, "a", text).statements == [
        "CREATE TABLE a (\n    b text\n)",
        "INSERT INTO a (b) VALUES ('x;y')",
    ]


def test_only_steps_that_were_not_applied_are_pending() -> None:
    assert pending([FIRST, SECOND], {}) == [FIRST, SECOND]
    assert pending([FIRST, SECOND], {1: FIRST.checksum}) == [SECOND]
    assert pending([FIRST, SECOND], {1: FIRST.checksum, 2: SECOND.checksum}) == []


def test_a_step_changed_after_it_was_applied_is_refused() -> None:
    changed = Migration(1, "market", FIRST.text + "-- one more line\n")

    with pytest.raises(SchemaError, match=r"001_market\.cql was changed after it was applied"):
        pending([changed, SECOND], {1: FIRST.checksum})


def test_a_database_newer_than_the_code_is_refused() -> None:
    with pytest.raises(SchemaError, match="version 2, newer than this code's 1"):
        pending([FIRST], {1: FIRST.checksum, 2: SECOND.checksum})
