"""Trades and feed events as Avro.

The trades are laid out by hand for this one schema, three to four times as fast as fastavro's general
writer, which limited the whole collector; the tests hold every byte against fastavro.
"""

import io
import struct
from functools import lru_cache
from typing import NamedTuple

import fastavro

from common.frames import Trade
from common.schemas import events_schema

_DOUBLE = struct.Struct("<d")
_END_OF_ARRAY = b"\x00"
_NO_CONDITIONS = b"\x02"  # the second branch of the union
_CONDITIONS = b"\x00"
_NO_CODES = _CONDITIONS + _END_OF_ARRAY
_CODE = b"\x02"
_LOW_BITS = 14
_LOW_MASK = (1 << _LOW_BITS) - 1
_LOW_BYTES = tuple(bytes((low & 0x7F | 0x80, low >> 7 | 0x80)) for low in range(1 << _LOW_BITS))


class Event(NamedTuple):
    """What happened to the connection to a feed, or to the journal; `at` in ms since the epoch."""

    at: int
    session: str
    kind: str
    detail: str
    gap_seconds: float | None


def encode_trades(kind: str, symbol: str, trades: list[Trade]) -> bytes:
    """Return a message of `schemas/trades.avsc`: trades of one symbol (one at least) from `read_frame`."""
    name, pack = _short_text(symbol), _DOUBLE.pack
    parts = [_varint(len(trades) << 1)]
    for trade in trades:
        conditions = trade.get("c")
        made = trade["t"]
        parts += (
            _codes(conditions) if conditions else _NO_CONDITIONS if conditions is None else _NO_CODES,
            pack(trade["p"]),
            name,
            # Trades of one moment share all but the lowest bits.
            _LOW_BYTES[made << 1 & _LOW_MASK] + _varint(made >> _LOW_BITS - 1)
            if made > _LOW_MASK
            else _long(made),
            pack(trade["v"]),
        )
    parts += (_END_OF_ARRAY, _short_text(kind))
    return b"".join(parts)


def encode_event(event: Event) -> bytes:
    """Return a feed event as Avro."""
    value = io.BytesIO()
    fastavro.schemaless_writer(value, events_schema().parsed, event._asdict())
    return value.getvalue()


def _codes(conditions: list[str | None]) -> bytes:
    codes = [_KNOWN_CODES.get(code) or _CODE + _text(str(code)) for code in conditions]
    return b"".join((_CONDITIONS, _varint(len(conditions) << 1), *codes, _END_OF_ARRAY))


def _long(value: int) -> bytes:
    return _varint(value << 1 if value >= 0 else ~(value << 1))


@lru_cache(4096)
def _varint(value: int) -> bytes:
    """Return a number that is not negative in groups of 7 bits, the lowest first."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


@lru_cache(1024)
def _short_text(text: str) -> bytes:
    """Return a text that comes again and again; `read_frame` bounds its length."""
    return _text(text)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _long(len(encoded)) + encoded


_KNOWN_CODES: dict[str | None, bytes] = {
    None: b"\x00",
    **{str(number): _CODE + _text(str(number)) for number in range(100)},
}
