"""Recordings and journals on disk."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.recording import Frame, RecordingError, decode, encode, read_recording

frames = st.builds(Frame, st.integers(-(2**53), 2**53), st.text(st.characters(exclude_categories=["Cs"])))
LINE = encode(Frame(1, '{"type":"ping"}'))


@given(frames)
def test_a_line_gives_back_its_frame(frame: Frame) -> None:
    line = encode(frame)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert decode(line) == frame


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
        (gzip.compress(b"hello\n"), "is not a recording: line 1"),
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
