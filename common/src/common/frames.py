"""What a frame of the feed holds.

A trade is refused here only when Avro cannot express it or when its symbol is too long; both take no place
among the trades of a message. A trade that can be expressed but cannot be true (a price of 0, a time in
seconds) keeps its place, so that its neighbours keep their ids, and the stream processor refuses it.
"""

import json
import re
from operator import itemgetter
from typing import Any, NamedTuple

import orjson

from common.identity import MAX_SYMBOL_LENGTH, MAX_TRADES_PER_MESSAGE

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
# Begins the frames by which the feed service says whose frames come next.
CONTROL_PREFIX = b'{"type":"source"'
OTHER_TYPES = frozenset({"ping", "news", "press-release", "error"})
NOT_JSON = "the frame was not JSON"
NO_LIST = "the frame had no list of trades"
AMBIGUOUS = "the frame named its type or its data twice"
_CODES = frozenset({str, type(None)})
_WHITESPACE = " \t\r\n"
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},"]', re.DOTALL)
_CLOSING = {"[": "]", "{": "}"}
_fields = itemgetter("p", "v", "t", "s")

Trade = dict[str, Any]


class Refused(NamedTuple):
    """A trade, or a frame, that was refused: why, its text as it was received, and its place in the frame."""

    reason: str
    content: str
    position: int


class Content(NamedTuple):
    """A frame's type (empty when it has none), its good trades by symbol and the refused ones, in order."""

    type: str
    trades: dict[str, list[Trade]]
    refused: list[Refused]

    @property
    def trade_count(self) -> int:
        """Return how many trades the frame stands for; one that could not be read counts as 1."""
        return sum(map(len, self.trades.values())) + len(self.refused)


def read_frame(text: str) -> Content:
    """Read a frame; every trade of it is either in `trades` or in `refused`."""
    try:
        frame = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _read_leniently(text)
    if ("\\" in text or text.count('"data"') > 1 or text.count('"type"') > 1) and _is_ambiguous(text):
        return _unreadable("", AMBIGUOUS, text)
    kind = frame.get("type") if type(frame) is dict else None
    if kind != "trade":
        return _without_trades(kind, text)
    data = frame.get("data")
    if type(data) is not list:
        return _unreadable(kind, NO_LIST, text)
    trades: dict[str, list[Trade]] = {}
    reasons: list[tuple[int, str]] = []
    for position, trade in enumerate(data):
        reason = _reason(trade) or _place(trade, trades)
        if reason is not None:
            reasons.append((position, reason))
    if not reasons:
        return Content(kind, trades, [])
    pieces = _elements(dict(_members(text) or ()).get("data", "")) or []
    refused = [Refused(reason, pieces[position], position) for position, reason in reasons]
    return Content(kind, trades, refused)


def _read_leniently(text: str) -> Content:
    """Read, trade by trade, a frame that is not strictly JSON: one bad trade does not cost the others."""
    members = _members(text)
    if members is None:
        return _unreadable("", NOT_JSON, text)
    if _is_repeated(members):
        return _unreadable("", AMBIGUOUS, text)
    values = dict(members)
    kind = _parse(values.get("type", ""))
    if kind != "trade":
        return _without_trades(kind, text)
    pieces = _elements(values.get("data", ""))
    if pieces is None:
        return _unreadable(kind, NO_LIST, text)
    trades: dict[str, list[Trade]] = {}
    refused: list[Refused] = []
    for position, piece in enumerate(pieces):
        trade = _parse(piece)
        if trade is None:
            reason: str | None = "the trade was not JSON"
        else:
            reason = _reason(trade) or _text_reason(trade) or _place(trade, trades)
        if reason is not None:
            refused.append(Refused(reason, piece, position))
    return Content(kind, trades, refused)


def _without_trades(kind: object, text: str) -> Content:
    if isinstance(kind, str) and kind in OTHER_TYPES:
        return Content(kind, {}, [])
    return _unreadable("", "the frame had no known type", text)


def _unreadable(kind: str, reason: str, text: str) -> Content:
    return Content(kind, {}, [Refused(reason, text, 0)])


def _place(trade: Trade, trades: dict[str, list[Trade]]) -> str | None:
    """Add a trade to those of its symbol; return why that cannot be done."""
    symbol = trade["s"]
    group = trades.get(symbol)
    if group is None:
        trades[symbol] = [trade]
        return None
    if len(group) >= MAX_TRADES_PER_MESSAGE:
        return f"the frame held more than {MAX_TRADES_PER_MESSAGE} trades of one symbol"
    group.append(trade)
    return None


def _reason(trade: Any) -> str | None:
    """Return why a trade is refused, if it is; a time that is a whole float becomes an integer."""
    if type(trade) is not dict:
        return "the trade was not an object"
    try:
        price, volume, made, symbol = _fields(trade)
        conditions = trade["c"]
    except KeyError:
        get: Any = trade.get
        price, volume, made, symbol, conditions = get("p"), get("v"), get("t"), get("s"), get("c")
    if type(made) is float and made.is_integer():
        trade["t"] = made = int(made)
    if type(price) is not float and not _is_double(price):
        reason = "p was missing or not a number"
    elif type(volume) is not float and not _is_double(volume):
        reason = "v was missing or not a number"
    elif type(made) is not int or not LONG_MIN <= made <= LONG_MAX:
        reason = "t was missing or not a whole number of milliseconds"
    elif type(symbol) is not str:
        reason = "s was missing or not a text"
    elif len(symbol) > MAX_SYMBOL_LENGTH:
        reason = f"s was longer than {MAX_SYMBOL_LENGTH} characters"
    elif conditions is not None and (
        type(conditions) is not list or not _CODES.issuperset(map(type, conditions))
    ):
        reason = "c was neither null nor a list of texts"
    else:
        return None
    return reason


def _is_double(value: Any) -> bool:
    """Return whether a value that is not a float is a number that a double can hold."""
    if type(value) is not int:
        return False
    try:
        float(value)
    except OverflowError:
        return False
    return True


def _text_reason(trade: Trade) -> str | None:
    """Return why the texts of a trade cannot be written as UTF-8, if so."""
    try:
        for text in (trade["s"], *(trade.get("c") or ())):
            (text or "").encode()
    except UnicodeEncodeError:
        return "s or c held what is not Unicode text"
    return None


def _parse(text: str) -> Any:
    """Return a JSON value, also one that only Python takes (NaN, 1e999, lone surrogates); None for none."""
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _is_ambiguous(text: str) -> bool:
    members = _members(text)
    return members is not None and _is_repeated(members)


def _is_repeated(members: list[tuple[str, str]]) -> bool:
    keys = [key for key, _ in members]
    return keys.count("data") > 1 or keys.count("type") > 1


def _members(text: str) -> list[tuple[str, str]] | None:
    """Return the keys of a JSON object with their values' texts, or None when `text` is none."""
    pieces = _split(text, "{")
    if pieces is None:
        return None
    members = []
    for piece in pieces:
        token = _TOKEN.match(piece)
        key = _parse(token[0]) if token else None
        rest = piece[token.end() :].lstrip(_WHITESPACE) if token else ""
        if not isinstance(key, str) or not rest.startswith(":"):
            return None
        members.append((key, rest[1:].strip(_WHITESPACE)))
    return members


def _elements(text: str) -> list[str] | None:
    """Return the texts of a JSON array's elements, or None when `text` is none."""
    return _split(text, "[")


def _split(text: str, opening: str) -> list[str] | None:
    """Return the pieces between a container's commas, or None when `text` is not one container.

    Looks at strings and brackets only, so that the pieces can be read, or refused, one by one; without
    recursion, so that no nesting is too deep.
    """
    text = text.strip(_WHITESPACE)
    if not text.startswith(opening):
        return None
    pieces: list[str] = []
    start = 1
    open_brackets: list[str] = []
    for token in _TOKEN.finditer(text):
        at = token.start()
        sign = text[at]
        if sign == '"':
            if token.end() == at + 1:
                return None
        elif sign == ",":
            if len(open_brackets) == 1:
                pieces.append(text[start:at].strip(_WHITESPACE))
                start = at + 1
        elif sign in _CLOSING:
            open_brackets.append(_CLOSING[sign])
        elif open_brackets.pop() != sign:
            return None
        elif not open_brackets:
            pieces.append(text[start:at].strip(_WHITESPACE))
            return None if token.end() != len(text) else [] if pieces == [""] else pieces
    return None
