"""The file of a backup: one tar file that begins with a description of every other file in it."""

import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple

from ops.errors import MarketError

FORMATS = (1, 2)  # the first held no journals
DESCRIPTION = "market-backup.json"
# A description names a few hundred files; more is none, and would fill the memory.
MAX_DESCRIPTION_BYTES = 16 * 1024**2  # pragma: no mutate: none is nearly as large
SUPERSET_MEMBER = "superset/superset.db"
TABLES = "cassandra/"
JOURNALS = "journal/"
# No part of a name begins with a dot, so that none leads out of the folder.
MEMBER = re.compile(
    r"superset/superset\.db|journal/\w[\w-]*\.jsonl\.gz|cassandra/\w+(/(?!\.)[\w.+-]+)+", re.ASCII
)


class Description(NamedTuple):
    """What a backup says of itself; `files` are the sizes in bytes of all others by their names."""

    created: datetime
    schema_version: int
    files: dict[str, int]

    @property
    def text(self) -> str:
        """Return it as it stands in the backup."""
        return json.dumps(
            {
                "format": FORMATS[-1],
                "created": self.created.isoformat(),
                "schema_version": self.schema_version,
                "files": self.files,
            },
            indent=1,
        )

    @property
    def tables(self) -> list[str]:
        """Return the names of the tables."""
        return sorted({name.split("/")[1] for name in self.files if name.startswith(TABLES)})


class ArchiveError(Exception):
    """Say what is wrong with an archive, as the end of a sentence that begins with its name."""


def read_description(text: bytes) -> Description:
    """Return what a backup says of itself; raise ArchiveError when this code cannot use it."""
    try:
        content = json.loads(text)
        number = content["format"]
        if number not in FORMATS:
            raise ArchiveError(
                f"was a backup of format {number!r:.20}, and this code reads up to format {FORMATS[-1]}"
            )
        description = Description(
            datetime.fromisoformat(content["created"]),
            int(content["schema_version"]),
            {str(name): int(size) for name, size in content["files"].items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ArchiveError("was not a backup: its description could not be read") from None
    if description.created.tzinfo is None:
        raise ArchiveError("was not a backup: the time of its making had no time zone")
    for name, size in description.files.items():
        if not MEMBER.fullmatch(name) or size < 0:
            raise ArchiveError(f"was not a backup: its description named {name[:100]!r}")
    return description


def backup_file(home: Path) -> Path:
    """Return the file whose time is that of the last backup."""
    return home / "data" / "last-backup"


def write_archive(stream: IO[bytes], description: Description, members: Mapping[str, Path]) -> None:
    """Write the description, then the files that it names."""
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        text = description.text.encode()
        header = tarfile.TarInfo(DESCRIPTION)
        header.size, header.mtime = len(text), int(description.created.timestamp())
        archive.addfile(header, io.BytesIO(text))
        for name, path in members.items():
            archive.add(path, name, recursive=False)


def extract(source: str, folder: Path, newest_version: int) -> Description:
    """Unpack a backup into an empty folder and return its description; `-` is standard input.

    Raises MarketError, after which nothing in the folder may be used, unless the archive holds exactly the
    files that its description names, whole, and is not of a newer schema than `newest_version`.
    """
    name = "Standard input" if source == "-" else source
    try:
        with open_source(source) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            description = read_first(archive)
            if description.schema_version > newest_version:
                raise ArchiveError(
                    f"was made at schema version {description.schema_version}, newer than this code's "
                    f"{newest_version}: run the newer code first"
                )
            check_space(folder, sum(description.files.values()))
            extract_members(archive, description, folder)
    except ArchiveError as error:
        raise MarketError(f"{name} {error}; nothing was restored.") from None
    except tarfile.TarError:
        raise MarketError(f"{name} was not a backup, or not whole; nothing was restored.") from None
    except FileNotFoundError:
        raise MarketError(f"There was no file {name}.") from None
    except OSError as error:
        raise MarketError(f"{name} could not be unpacked: {error.strerror}; nothing was restored.") from None
    return description


@contextmanager
def open_source(source: str) -> Iterator[IO[bytes]]:
    """Open a file, or standard input for `-`."""
    if source == "-" and os.isatty(0):
        raise MarketError("A backup does not come from a terminal: name its file, or send it by <.")
    with os.fdopen(os.dup(0), "rb") if source == "-" else Path(source).open("rb") as stream:
        yield stream


def read_first(archive: tarfile.TarFile) -> Description:
    """Read the description, which has to be the first in a backup."""
    header = archive.next()
    if header is None or header.name != DESCRIPTION or not header.isreg():
        raise ArchiveError(f"was not a backup: it did not begin with {DESCRIPTION}")
    if header.size > MAX_DESCRIPTION_BYTES:
        raise ArchiveError("was not a backup: its description was too large")
    content = archive.extractfile(header)
    return read_description(content.read() if content else b"")


def extract_members(archive: tarfile.TarFile, description: Description, folder: Path) -> None:
    """Unpack the files; raise ArchiveError about the first that is not as described, or missing."""
    missing = dict(description.files)
    for header in iter(archive.next, None):
        size = missing.pop(header.name, None)
        content = archive.extractfile(header) if header.isreg() else None
        if size is None or content is None or header.size != size:
            raise ArchiveError(f"was not a backup: {header.name[:100]!r} was not as its description says")
        path = folder / header.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            shutil.copyfileobj(content, file)
        os.utime(path, (header.mtime, header.mtime))
    if missing:
        raise ArchiveError(f"was not whole: {min(missing)} was missing")


def check_space(folder: Path, size: int) -> None:
    """Expect space for the unpacked files."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise MarketError(
            f"The backup needed {size / 1024**3:.1f} GB, and {free / 1024**3:.1f} GB of disk were free: "
            "free some disk space."
        )
