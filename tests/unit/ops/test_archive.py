"""The file of a backup: whole and as described, or refused before anything is touched."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.data.archive import (
    DESCRIPTION,
    FORMATS,
    SUPERSET_MEMBER,
    ArchiveError,
    Description,
    check_space,
    extract,
    read_description,
    write_archive,
)
from ops.errors import MarketError

CREATED = datetime(2026, 1, 15, 14, 57, tzinfo=UTC)
TRADES = "cassandra/trades/da-1-bti-Data.db"
BARS = "cassandra/bars_5s/da-1-bti-Data.db"
CONTENT = {
    SUPERSET_MEMBER: b"users and dashboards",
    TRADES: b"rows" * 5000,
    "cassandra/trades/da-1-bti-Statistics.db": b"statistics",
    BARS: b"",
    "cassandra/trades/.index/da-1-bti-Data.db".replace("/.", "/"): b"index",
}
SIZES = {name: len(content) for name, content in CONTENT.items()}


def write(folder: Path, version: int = 1) -> Path:
    """Return a backup with CONTENT."""
    members = {}
    for number, (name, content) in enumerate(CONTENT.items()):
        members[name] = folder / f"member-{number}"
        members[name].write_bytes(content)
    path = folder / "backup.tar"
    with path.open("wb") as stream:
        write_archive(stream, Description(CREATED, version, SIZES), members)
    return path


def description(**changes: Any) -> bytes:
    """Return a description of CONTENT with some values changed."""
    return json.dumps(json.loads(Description(CREATED, 1, SIZES).text) | changes).encode()


def add(archive: tarfile.TarFile, name: str, content: bytes, **attributes: Any) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    for attribute, value in attributes.items():
        setattr(header, attribute, value)
    archive.addfile(header, io.BytesIO(content))


def write_other(folder: Path, fill: Callable[[tarfile.TarFile], None]) -> Path:
    """Return an archive of CONTENT that `fill` completes with what does not belong into it."""
    path = folder / "other.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, DESCRIPTION, description())
        fill(archive)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "restored").mkdir()
    return tmp_path / "restored"


def test_what_was_backed_up_is_unpacked(tmp_path: Path, folder: Path) -> None:
    unpacked = extract(str(write(tmp_path)), folder, 1)
    assert {name: (folder / name).read_bytes() for name in CONTENT} == CONTENT
    assert unpacked == Description(CREATED, 1, SIZES)
    assert unpacked.tables == ["bars_5s", "trades"]


def test_the_description_comes_first_and_says_what_follows(tmp_path: Path) -> None:
    with tarfile.open(write(tmp_path)) as archive:
        assert archive.getnames() == [DESCRIPTION, *CONTENT]
        assert archive.getmembers()[0].mtime == CREATED.timestamp()
        content = archive.extractfile(DESCRIPTION)
        assert content is not None
        assert json.loads(content.read()) == {
            "format": 2,
            "created": "2026-01-15T14:57:00+00:00",
            "schema_version": 1,
            "files": SIZES,
        }


def test_a_backup_comes_from_standard_input(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with write(tmp_path).open("rb") as stream:
        monkeypatch.setattr(os, "dup", lambda number: {0: stream.fileno()}[number])
        monkeypatch.setattr(os, "isatty", lambda number: {0: False}[number])
        assert extract("-", folder, 1).files == SIZES
        stream.close = lambda: None  # type: ignore[method-assign]  # its number is closed already
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "isatty", lambda _: True)
        with pytest.raises(MarketError, match="does not come from a terminal"):
            extract("-", folder, 1)


@given(st.floats(min_value=0, max_value=1, exclude_max=True))
def test_a_backup_that_was_cut_short_anywhere_is_refused(
    tmp_path_factory: pytest.TempPathFactory, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    path = write(folder)
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
        end = last.offset_data + last.size
    with path.open("r+b") as file:
        file.truncate(int(end * share))
    (folder / "restored").mkdir()
    with pytest.raises(MarketError, match=r"backup\.tar was not .*; nothing was restored\.$"):
        extract(str(path), folder / "restored", 1)


def test_a_backup_of_newer_code_is_refused_and_one_of_older_code_is_not(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(MarketError, match="schema version 3, newer than this code's 2"):
        extract(str(write(tmp_path, version=3)), folder, 2)
    assert list(folder.iterdir()) == []
    assert extract(str(write(tmp_path, version=3)), folder, 4).schema_version == 3


@pytest.mark.parametrize(
    "name",
    [
        "../escaped",
        "/escaped",
        "cassandra/../escaped",
        "cassandra/trades/../../../escaped",
        "cassandra/trades/..",
        "cassandra/trades/.hidden",
        "cassandra//escaped",
        "cassandra/trades/a\nb",
        "cassandra/trades/",
        "cassandra/trades",
        "superset/superset.db/x",
        "superset/other.db",
        "",
    ],
)
def test_a_description_that_names_another_place_is_refused(tmp_path: Path, folder: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="its description named"):
        read_description(description(files={name: 1}))
    (tmp_path / "file").write_bytes(b"x")
    path = tmp_path / "backup.tar"
    with path.open("wb") as stream:
        write_archive(stream, Description(CREATED, 1, {name: 1}), {name: tmp_path / "file"})
    with pytest.raises(MarketError, match="nothing was restored"):
        extract(str(path), folder, 1)
    assert list(folder.iterdir()) == []
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["backup.tar", "file", "restored"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "could not be read"),
        (b"[]", "could not be read"),
        (b"{}", "could not be read"),
        (b"[" * 100_000, "could not be read"),
        (b"\xff", "could not be read"),
        (description(format=FORMATS[-1] + 1), "was a backup of format 3, and this code reads up to format 2"),
        (description(format="1"), "was a backup of format '1'"),
        (description(created="yesterday"), "could not be read"),
        (description(created="2026-01-15T14:57:00"), "no time zone"),
        (description(schema_version="newest"), "could not be read"),
        (description(files=[]), "could not be read"),
        (description(files={TRADES: None}), "could not be read"),
        (description(files={TRADES: -1}), "its description named"),
    ],
)
def test_a_description_that_this_code_cannot_use_is_refused(text: bytes, sentence: str) -> None:
    with pytest.raises(ArchiveError, match=sentence):
        read_description(text)


def complete(archive: tarfile.TarFile, without: str = "", **replaced: bytes) -> None:
    for name, content in CONTENT.items():
        if name != without:
            add(archive, name, replaced.get(name, content))


OTHERS: dict[str, Callable[[tarfile.TarFile], None]] = {
    "a member that is not described": lambda archive: (
        complete(archive),
        add(archive, "cassandra/trades/more", b""),
    )[-1],
    "a member outside": lambda archive: (complete(archive), add(archive, "../escaped", b""))[-1],
    "a member twice": lambda archive: (complete(archive), add(archive, TRADES, CONTENT[TRADES]))[-1],
    "a second description": lambda archive: (complete(archive), add(archive, DESCRIPTION, b"{}"))[-1],
    "a member of another size": lambda archive: complete(archive, **{TRADES: b"rows"}),
    "a symbolic link": lambda archive: add(
        archive, TRADES, b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"
    ),
    "a symbolic link in place of an empty file": lambda archive: (
        complete(archive, without=BARS),
        add(archive, BARS, b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    )[-1],
    "a hard link": lambda archive: add(archive, TRADES, b"", type=tarfile.LNKTYPE, linkname=SUPERSET_MEMBER),
    "a device": lambda archive: add(archive, TRADES, b"", type=tarfile.CHRTYPE),
    "a folder": lambda archive: add(archive, TRADES, b"", type=tarfile.DIRTYPE),
    "a missing member": lambda archive: add(archive, TRADES, CONTENT[TRADES]),
}


@pytest.mark.parametrize("fill", OTHERS.values(), ids=OTHERS.keys())
def test_an_archive_that_is_not_as_described_is_refused(
    tmp_path: Path, folder: Path, fill: Callable[[tarfile.TarFile], None]
) -> None:
    path = write_other(tmp_path, fill)
    with pytest.raises(MarketError, match=r"other\.tar was not .*; nothing was restored\.$"):
        extract(str(path), folder, 1)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other.tar", "restored"]


@pytest.mark.parametrize("name", ["other", DESCRIPTION])
def test_an_archive_of_something_else_is_refused(tmp_path: Path, folder: Path, name: str) -> None:
    path = tmp_path / "other.tar"
    with tarfile.open(path, "w") as archive:
        add(archive, name, b"", type=tarfile.REGTYPE if name == "other" else tarfile.DIRTYPE)
    with pytest.raises(MarketError, match=rf"did not begin with {DESCRIPTION}"):
        extract(str(path), folder, 1)


def test_a_description_too_large_for_one_is_not_read(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ops.data.archive.MAX_DESCRIPTION_BYTES", 10)
    with pytest.raises(MarketError, match="its description was too large"):
        extract(str(write(tmp_path)), folder, 1)


def test_a_compressed_archive_and_a_text_are_refused(tmp_path: Path, folder: Path) -> None:
    for name, content in {"text.tar": b"hello\n" * 200, "empty.tar": b"", "zip.tar": b"PK\x03\x04"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MarketError, match=f"{name} was not a backup"):
            extract(str(tmp_path / name), folder, 1)


def test_a_file_that_is_not_there_and_a_folder_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(MarketError, match=r"There was no file .*absent\.tar\."):
        extract(str(tmp_path / "absent.tar"), folder, 1)
    with pytest.raises(MarketError, match=rf"{folder} could not be unpacked: Is a directory"):
        extract(str(folder), folder, 1)


def test_a_backup_larger_than_the_disk_is_refused_before_it_is_unpacked(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(SIZES.values())
    path = str(write(tmp_path))
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=size - 1))
    with pytest.raises(MarketError, match="free some disk space"):
        extract(path, folder, 1)
    assert list(folder.iterdir()) == []
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=size))
    assert extract(path, folder, 1).files == SIZES


def test_the_space_that_is_needed_and_free_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=50 * 2**30))
    with pytest.raises(MarketError, match=r"needed 100\.0 GB, and 50\.0 GB of disk were free: free some"):
        check_space(folder, 100 * 2**30)
