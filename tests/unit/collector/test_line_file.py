"""Files of lines: what a reader sees while they are written, and after a kill at any byte."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.line_file import BLOCK_BYTES, START, LineFile, Position

LINES = 40_000


@pytest.fixture
def file(tmp_path: Path) -> LineFile:
    path = tmp_path / "x.jsonl"
    path.touch()
    return LineFile(path)


def read_all(file: LineFile, max_bytes: int) -> list[bytes]:
    lines: list[bytes] = []
    at = 0
    while more := file.lines_from(at, max_bytes):
        lines += more
        at += sum(map(len, more))
    return lines


def test_a_reader_never_sees_a_part_of_a_line_that_is_being_written(file: LineFile) -> None:
    written = [b"%d %s\n" % (number, b"x" * (number % 397)) for number in range(LINES)]
    content = b"".join(written)

    def write() -> None:
        with file.path.open("ab", buffering=0) as opened:
            for start in range(0, len(content), 1013):
                opened.write(content[start : start + 1013])

    writer = threading.Thread(target=write)
    writer.start()
    lines: list[bytes] = []
    at = 0
    ended = False
    while True:
        more = file.lines_from(at, 64 * 1024)
        lines += more
        at += sum(map(len, more))
        if ended and not more:
            break
        ended = not writer.is_alive()
    writer.join()
    assert lines == written


@given(
    st.lists(st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"")), max_size=20),
    st.integers(1, 50),
)
def test_lines_are_what_lies_between_line_ends(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], max_bytes: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "lines.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + b"torn")
    assert read_all(LineFile(path), max_bytes) == [line + b"\n" for line in lines]


def test_a_line_may_be_larger_than_what_is_read_at_once(file: LineFile) -> None:
    line = b"x" * 3_000_001 + b"\n"
    file.path.write_bytes(line + b"y\n" + line[:-1])
    assert read_all(file, 1000) == [line, b"y\n"]
    assert file.lines_from(len(line) + 2, 1000) == []


@pytest.mark.parametrize("torn", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5])
@pytest.mark.parametrize("whole", [0, 2, BLOCK_BYTES, 2 * BLOCK_BYTES + 17])
def test_a_torn_line_of_any_length_is_cut_off_and_nothing_else(file: LineFile, whole: int, torn: int) -> None:
    content = (b"a" * (whole - 1) + b"\n") if whole else b""
    file.path.write_bytes(content + b"b" * torn)
    assert file.cut_torn_line() == torn
    assert file.path.read_bytes() == content


def test_torn_journals_of_many_lines_keep_all_but_the_last(file: LineFile) -> None:
    lines = b"".join(b"%d\n" % number for number in range(600_000))
    assert len(lines) > 4_000_000
    file.path.write_bytes(lines + b"600000")
    assert file.cut_torn_line() == 6
    assert file.path.read_bytes() == lines


def test_the_mark_is_found_again(file: LineFile) -> None:
    assert file.acked() == START == Position(0, 0)
    file.save_acked(Position(3, 70))
    assert file.acked() == Position(3, 70)
    assert sorted(path.name for path in file.path.parent.iterdir()) == ["x.acked", "x.jsonl"]
    file.remove()
    assert list(file.path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"7", b"\xff", b'{"lines":1}', b'{"lines":1,"bytes":"x"}', b'{"lines":-1,"bytes":3}'],
)
def test_a_damaged_mark_is_the_start(
    file: LineFile, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file.path.with_suffix(".acked").write_bytes(content)
    assert file.acked() == START
    assert "published again from its start" in caplog.text
