"""Bytes of a websocket against the frames that another library writes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from collector.websocket_frames import FrameDecoder, Message
from common.limits import MAX_FRAME_BYTES

LIMIT = 300


def frame(opcode: Opcode, payload: bytes, fin: bool = True) -> bytes:
    return Frame(opcode, payload, fin=fin).serialize(mask=False)


def header(first: int, size: int) -> bytes:
    """Return the header of a frame that declares `size` bytes in the longest form."""
    return bytes([first, 127]) + size.to_bytes(8, "big")


@st.composite
def written(draw: st.DrawFn) -> tuple[bytes, list[Message]]:
    """Draw what a server may send and the messages it means: in pieces, with control frames between them."""
    data, messages = b"", []
    for _ in range(draw(st.integers(0, 5))):
        pieces = draw(st.lists(st.binary(max_size=LIMIT), min_size=1, max_size=4))
        opcode = draw(st.sampled_from([Opcode.TEXT, Opcode.BINARY]))
        size = 0
        is_told = False
        for number, piece in enumerate(pieces):
            data += frame(opcode if number == 0 else Opcode.CONT, piece, fin=number == len(pieces) - 1)
            size += len(piece)
            if size > LIMIT and not is_told:
                is_told = True
                messages.append(Message("oversized", b"", size))
            if number < len(pieces) - 1 and draw(st.booleans()):
                payload = draw(st.binary(max_size=125))
                data += frame(Opcode.PING, payload)
                messages.append(Message("ping", payload, len(payload)))
        if not is_told:
            messages.append(Message("data", b"".join(pieces), size))
    return data, messages


@given(written(), st.lists(st.integers(1, 400), max_size=20))
def test_messages_are_found_however_the_bytes_arrive(
    sent: tuple[bytes, list[Message]], sizes: list[int]
) -> None:
    data, messages = sent
    decoder = FrameDecoder(LIMIT)
    received: list[Message] = []
    for size in sizes:
        received += decoder.feed(data[:size])
        data = data[size:]
    assert received + decoder.feed(data) == messages


@given(written(), st.binary(max_size=300), st.lists(st.integers(1, 50), max_size=50))
def test_any_bytes_are_the_same_messages_and_error_however_they_arrive(
    sent: tuple[bytes, list[Message]], noise: bytes, sizes: list[int]
) -> None:
    data = sent[0] + noise
    whole, cut = FrameDecoder(LIMIT), FrameDecoder(LIMIT)
    expected = whole.feed(data)
    assert expected[: len(sent[1])] == sent[1]
    received: list[Message] = []
    for size in sizes:
        received += cut.feed(data[:size])
        data = data[size:]
    assert received + cut.feed(data) == expected
    assert cut.error == whole.error
    assert all(len(message.payload) <= LIMIT for message in expected)


def test_the_limit_is_8_mib() -> None:
    assert MAX_FRAME_BYTES == 8 * 1024**2
    payload = bytes(MAX_FRAME_BYTES)
    assert FrameDecoder().feed(frame(Opcode.TEXT, payload)) == [Message("data", payload, len(payload))]
    over = frame(Opcode.TEXT, payload + b"x") + frame(Opcode.TEXT, b"next")
    assert FrameDecoder().feed(over) == [
        Message("oversized", b"", MAX_FRAME_BYTES + 1),
        Message("data", b"next", 4),
    ]


def test_a_frame_of_a_tebibyte_is_told_at_its_header_and_costs_no_memory() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(header(0x81, 2**40)) == [Message("oversized", b"", 2**40)]
    for _ in range(64):
        assert decoder.feed(bytes(1024**2)) == []
    assert len(decoder._buffer) == 0


def test_a_message_in_many_pieces_is_dropped_as_a_whole_once_it_is_too_large() -> None:
    decoder = FrameDecoder(LIMIT)
    assert decoder.feed(frame(Opcode.TEXT, bytes(200), fin=False)) == []
    assert decoder.feed(frame(Opcode.CONT, bytes(101), fin=False)) == [Message("oversized", b"", 301)]
    assert decoder.feed(frame(Opcode.CONT, b"", fin=False)) == []
    assert decoder.feed(frame(Opcode.CONT, bytes(1), fin=True)) == []
    assert decoder.feed(frame(Opcode.TEXT, b"next")) == [Message("data", b"next", 4)]


def test_an_empty_message_is_a_message() -> None:
    assert FrameDecoder().feed(frame(Opcode.TEXT, b"")) == [Message("data", b"", 0)]


def test_control_frames_are_named() -> None:
    data = frame(Opcode.PING, b"a") + frame(Opcode.PONG, b"b") + frame(Opcode.CLOSE, b"\x03\xe8c")
    assert FrameDecoder().feed(data) == [
        Message("ping", b"a", 1),
        Message("pong", b"b", 1),
        Message("close", b"\x03\xe8c", 3),
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xc1\x00", "reserved bit"),
        (b"\x91\x00", "reserved bit"),
        (b"\x81\x80", "masked"),
        (b"\x83\x00", "opcode 3"),
        (b"\x80\x00", "continuation"),
        (b"\x01\x00\x81\x00", "inside another"),
        (b"\x09\x00", "control frame"),
        (b"\x89\x7e\x00\x7e", "control frame"),
        (header(0x81, 2**63), "negative"),
    ],
)
def test_what_breaks_the_protocol_is_told(data: bytes, words: str) -> None:
    decoder = FrameDecoder()
    good = frame(Opcode.TEXT, b"good")
    assert decoder.feed(good + data) == [Message("data", b"good", 4)]
    assert words in str(decoder.error)
    assert decoder.feed(good) == []
