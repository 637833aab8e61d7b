"""From a journal's line to Kafka's messages; pure."""

from functools import cache
from typing import NamedTuple

from collector.encoding import encode_trades
from common.frames import Refused, read_frame
from common.limits import MAX_DEAD_LETTER_BYTES
from common.recording import decode
from common.schemas import trades_schema

Headers = list[tuple[str, bytes]]


class Message(NamedTuple):
    """A message that holds or stands for `trades` trades; with `dead` it belongs to the dead letters."""

    key: bytes | None
    value: bytes
    headers: Headers
    trades: int
    dead: bool = False


def messages(journal: str, line_number: int, line: bytes) -> list[Message]:
    """Return everything that a line of a journal stands for, one message a symbol and one a refused trade.

    Never raises: a line that cannot be read or encoded is one dead letter.
    """
    name = f"{journal}:{line_number}".encode()
    try:
        received_ms, text = decode(line)
    except ValueError:
        damaged = Refused("the journal's line was damaged", line.decode("utf-8", "backslashreplace"), 0)
        return [_dead_letter(name, 0, damaged)]
    try:
        content = read_frame(text)
        headers = [("frame", name), ("received_ms", b"%d" % received_ms), _schema_header()]
        sent = []
        for symbol, trades in content.trades.items():
            value = encode_trades(content.type, symbol, trades)
            sent.append(Message(symbol.encode(), value, headers, len(trades)))
        for refused in content.refused:
            sent.append(_dead_letter(name, received_ms, refused))
        return sent
    except Exception as error:
        # Nothing is known to get here; whatever does must not keep the lines behind it from Kafka.
        reason = f"the frame could not be encoded ({type(error).__name__})"
        return [_dead_letter(name, received_ms, Refused(reason, text, 0))]


def refused_message(message: Message, reason: str) -> Message:
    """Return the dead letter for a message that Kafka refuses."""
    headers = [
        *((name, value) for name, value in message.headers if name in ("frame", "received_ms")),
        ("reason", f"{reason}; the journal holds the frame".encode()),
        ("trades", b"%d" % message.trades),
    ]
    return Message(message.key, message.value[:MAX_DEAD_LETTER_BYTES], headers, message.trades, dead=True)


@cache
def _schema_header() -> tuple[str, bytes]:
    return "schema", trades_schema().fingerprint.encode()


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
