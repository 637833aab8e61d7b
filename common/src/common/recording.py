"""Recordings and journals: JSON Lines, one received frame a line, plain or gzip."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

PLAIN, PACKED = ".jsonl", ".jsonl.gz"
"""How the names of journals end, still written and compressed."""


class Frame(NamedTuple):
    """A frame's text and when it was received (ms since the epoch)."""

    received_ms: int
    text: str


class RecordingError(Exception):
    """Say in one sentence what is wrong with a recording."""


def frame_text(data: bytes) -> str:
    """Return the text of received bytes; those that are not UTF-8 become JSON's escapes of lone surrogates.

    So only the trade that holds them is refused, and any text can be stored, sent and read back.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode()


def encode(frame: Frame) -> bytes:
    """Return the line that holds a frame, with its line end."""
    return orjson.dumps(
        {"received_ms": frame.received_ms, "frame": frame.text}, option=orjson.OPT_APPEND_NEWLINE
    )


def decode(line: bytes) -> Frame:
    """Read one line; raise ValueError when it does not hold a frame."""
    value = orjson.loads(line)
    if type(value) is not dict:
        raise ValueError("not an object")
    received_ms, text = value.get("received_ms"), value.get("frame")
    if type(received_ms) is not int or type(text) is not str:
        raise ValueError("received_ms is not a whole number or frame is not a text")
    return Frame(received_ms, text)


def read_recording(path: Path) -> Iterator[Frame]:
    """Yield the frames of a recording.

    Raises RecordingError with the file's name, and the line where there is one, when the file is missing,
    isn't a recording, or ends in the middle of one.
    """
    line_number = 0
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            with gzip.GzipFile(fileobj=plain) if packed else plain as lines:
                for line_number, line in enumerate(lines, start=1):
                    try:
                        yield decode(line)
                    except ValueError:
                        if line.endswith(b"\n") or line_number == 1:
                            raise
                        raise RecordingError(f"{path} is truncated: line {line_number} has no end.") from None
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise RecordingError(f"{path} is not a recording: it is damaged gzip ({error}).") from None
        raise RecordingError(f"{path} cannot be read: {error.strerror or error}.") from None
    except EOFError:
        raise RecordingError(f"{path} is truncated: the gzip data ends after line {line_number}.") from None
    except zlib.error as error:
        raise RecordingError(f"{path} is damaged after line {line_number}: {error}.") from None
    except ValueError as error:
        raise RecordingError(
            f"{path} is not a recording: line {line_number} is not "
            f'{{"received_ms": <ms>, "frame": "<text>"}} ({error}).'
        ) from None
    if line_number == 0:
        raise RecordingError(f"{path} is not a recording: it is empty.")
