"""From a journal's line to Kafka's messages; pure."""

import io
from typing import NamedTuple

import fastavro

from common.frames import Content, Refused, Trade, read_frame
from common.recording import Frame, decode
from common.schemas import events_schema, trades_schema

Headers = list[tuple[str, bytes]]

MAX_DEAD_LETTER_BYTES = 1024**2


class Event(NamedTuple):
    """What happened to the connection to a feed; `at` in ms since the epoch."""

    at: int
    session: str
    kind: str
    detail: str
    gap_seconds: float | None


class Message(NamedTuple):
    """A message that holds or stands for `trades` trades; with `dead` it belongs to the dead letters."""

    key: bytes | None
    value: bytes
    headers: Headers
    trades: int
    dead: bool = False


def messages(journal: str, line_number: int, line: bytes) -> list[Message]:
    """Return everything that a line of a journal stands for, one message a symbol and one a refused trade."""
    name = f"{journal}:{line_number}".encode()
    try:
        frame = decode(line)
    except ValueError:
        text = line.decode("utf-8", "backslashreplace")
        return [_dead_letter(name, 0, Refused("the journal's line was damaged", text, 0))]
    content = read_frame(frame.text)
    return [
        *(trades_message(name, frame, content, symbol, trades) for symbol, trades in content.trades.items()),
        *(_dead_letter(name, frame.received_ms, refused) for refused in content.refused),
    ]


def trades_message(name: bytes, frame: Frame, content: Content, symbol: str, trades: list[Trade]) -> Message:
    """Return the message that holds a frame's trades of one symbol."""
    value = io.BytesIO()
    schema = trades_schema()
    fastavro.schemaless_writer(value, schema.parsed, {"data": trades, "type": content.type})
    headers = [
        ("frame", name),
        ("received_ms", b"%d" % frame.received_ms),
        ("schema", schema.fingerprint.encode()),
    ]
    return Message(symbol.encode(), value.getvalue(), headers, len(trades))


def oversized(message: Message) -> Message:
    """Return the dead letter for a message that Kafka refuses for its size."""
    headers = [
        *((name, value) for name, value in message.headers if name in ("frame", "received_ms")),
        ("reason", b"the message was larger than Kafka takes; the journal holds the frame"),
        ("trades", b"%d" % message.trades),
    ]
    return Message(message.key, message.value[:MAX_DEAD_LETTER_BYTES], headers, message.trades, dead=True)


def encode_event(event: Event) -> bytes:
    """Return a feed event as Avro."""
    value = io.BytesIO()
    fastavro.schemaless_writer(value, events_schema().parsed, event._asdict())
    return value.getvalue()


def _dead_letter(name: bytes, received_ms: int, refused: Refused) -> Message:
    reason, content = refused.reason, refused.content.encode("utf-8", "backslashreplace")
    if len(content) > MAX_DEAD_LETTER_BYTES:
        reason = f"{reason} (cut to {MAX_DEAD_LETTER_BYTES} bytes; the journal holds the frame)"
    headers = [
        ("reason", reason.encode()),
        ("frame", name),
        ("received_ms", b"%d" % received_ms),
        ("trades", b"1"),
        ("position", b"%d" % refused.position),
    ]
    return Message(None, content[:MAX_DEAD_LETTER_BYTES], headers, 1, dead=True)
