"""The numbered steps that make the schema, and which of them are still to be applied."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from common.settings import ROOT

FOLDER = ROOT / "cassandra" / "schema"
FILE_NAME = re.compile(r"^(\d{3})_([a-z0-9_]+)\.cql$")


class SchemaError(Exception):
    """Say in one sentence what is wrong with the schema or its steps."""


@dataclass(frozen=True)
class Migration:
    """One step: its number, its name and its CQL."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Return the SHA-256 of the text, in hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """Return the statements: each ends with a `;` at the end of a line; `--` lines are comments."""
        lines = [line for line in self.text.splitlines() if not line.lstrip().startswith("--")]
        parts = re.split(r";[ \t]*$", "\n".join(lines), flags=re.MULTILINE)
        return [part.strip() for part in parts if part.strip()]


def read_migrations(folder: Path = FOLDER) -> list[Migration]:
    """Read the steps `001_<name>.cql`, `002_...` in order.

    Raises SchemaError when one is missing or misnamed.
    """
    migrations = []
    for expected, path in enumerate(sorted(folder.glob("*.cql")), start=1):
        match = FILE_NAME.match(path.name)
        if match is None or int(match[1]) != expected:
            raise SchemaError(f"The schema file {path.name} was not named {expected:03d}_<name>.cql.")
        migrations.append(Migration(expected, match[2], path.read_text(encoding="utf-8")))
    if not migrations:
        raise SchemaError(f"No schema files were found in {folder}.")
    return migrations


def pending(migrations: Iterable[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """Return the steps to apply, given the checksums of those that were.

    Raises SchemaError when a step has changed since it was applied, or the database knows a later one.
    """
    known = {migration.version: migration for migration in migrations}
    for version, checksum in sorted(applied.items()):
        if version not in known:
            raise SchemaError(
                f"The database was at schema version {version}, newer than this code's {max(known)}: "
                "run the newer code."
            )
        if known[version].checksum != checksum:
            raise SchemaError(
                f"The schema file {version:03d}_{known[version].name}.cql was changed after it was applied: "
                "bring it back and put the change into a new file."
            )
    return [migration for version, migration in sorted(known.items()) if version not in applied]
