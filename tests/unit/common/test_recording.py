"""Recordings and journals on disk."""

import contextlib
import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.frames import read_frame
from common.recording import Frame, RecordingError, decode, encode, frame_text, read_recording

frames = st.builds(Frame, st.integers(-(2**53), 2**53), st.text(st.characters(exclude_categories=["Cs"])))
LINE = encode(Frame(1, '{"type":"ping"}'))


@given(frames)
def test_a_line_gives_back_its_frame(frame: Frame) -> None:
    line = encode(frame)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line) == frame


@given(st.binary())
def test_bytes_that_are_no_text_can_be_written_and_keep_what_is_text(data: bytes) -> None:
    text = frame_text(data)
    assert decode(encode(Frame(1, text))).text == text
    if b"\\" not in data:
        escaped = re.sub(r"\\udc(..)", lambda found: chr(0xDC00 + int(found[1], 16)), text)
        assert escaped.encode("utf-8", "surrogateescape") == data


def test_bytes_that_are_no_text_cost_their_trade_alone() -> None:
    good = b'{"c":null,"p":1.5,"s":"AAPL","t":1,"v":1}'
    bad = good.replace(b"AAPL", b"A\xff\xc3PL")
    text = frame_text(b'{"data":[' + good + b"," + bad + b"," + good + b'],"type":"trade"}')
    content = read_frame(text)
    assert len(content.trades["AAPL"]) == 2
    [refused] = content.refused
    assert refused == (
        "s or c held what is not Unicode text",
        bad.decode("ascii", "surrogateescape").encode("ascii", "backslashreplace").decode(),
        1,
    )


def test_a_line_has_its_receipt_and_the_frame_as_text() -> None:
    assert (
        encode(Frame(1_700_000_000_000, '{"p":1}'))
        == b'{"received_ms":1700000000000,"frame":"{\\"p\\":1}"}\n'
    )
    assert encode(Frame(7, "\\udcff")) == b'{"received_ms":7,"frame":"\\\\udcff"}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"7",
        b"[]",
        b"{}",
        b"\xff",
        b"NaN",
        b"[" * 100_000,
        b'{"received_ms":1.5,"frame":"x"}',
        b'{"received_ms":"1","frame":"x"}',
        b'{"received_ms":false,"frame":"x"}',
        b'{"received_ms":1,"frame":null}',
        b'{"received_ms":1,"frame":"x',
    ],
)
def test_a_line_that_holds_no_frame_is_an_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(line)


@given(st.binary())
def test_any_line_is_a_frame_or_a_value_error(line: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(decode(line), Frame)


def test_plain_and_packed_recordings_read_alike(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    plain.write_bytes(LINE * 3)
    packed.write_bytes(gzip.compress(LINE * 3))
    assert list(read_recording(plain)) == list(read_recording(packed)) == [Frame(1, '{"type":"ping"}')] * 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a recording: it is empty"),
        (b"hello\n", "is not a recording: line 1"),
        (b"a,b\n1,2\n", "is not a recording: line 1"),
        (LINE + b'{"received_ms":1}\n', "is not a recording: line 2"),
        (LINE + b'{"received_ms":true,"frame":"x"}\n', "is not a recording: line 2"),
        (LINE + LINE[:-5], "is truncated: line 2"),
        (gzip.compress(LINE * 1000)[:-20], "is truncated"),
        (b"\x1f\x8b garbage", "is not a recording"),
        (gzip.compress(b"hello\n", mtime=0), "is not a recording: line 1"),
    ],
)
def test_what_is_not_a_recording_is_told_in_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "recording"
    path.write_bytes(content)
    with pytest.raises(RecordingError, match=sentence) as error:
        list(read_recording(path))
    assert str(path) in str(error.value)


def test_a_missing_recording_and_a_folder_are_told_in_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(RecordingError, match="cannot be read"):
            list(read_recording(path))
