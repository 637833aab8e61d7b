"""What a frame of the feed holds."""

import json
import math
from typing import Any, NamedTuple

import orjson

from common.identity import MAX_TRADES_PER_MESSAGE

LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
OTHER_TYPES = frozenset({"ping", "news", "press-release", "error"})
_NUMBERS = (float, int)
_CODES = frozenset({str, type(None)})

Trade = dict[str, Any]


class Refused(NamedTuple):
    """A trade, or a frame, that Avro cannot express: why, its JSON or text, and its place in the frame."""

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
        return _unreadable("", "the frame was not JSON", text)
    kind = frame.get("type") if isinstance(frame, dict) else None
    if isinstance(kind, str) and kind in OTHER_TYPES:
        return Content(kind, {}, [])
    if kind != "trade":
        return _unreadable("", "the frame had no known type", text)
    data = frame.get("data")
    if not isinstance(data, list):
        return _unreadable(kind, "the frame had no list of trades", text)
    trades: dict[str, list[Trade]] = {}
    refused: list[Refused] = []
    for position, trade in enumerate(data):
        reason = _reason(trade)
        if reason is None:
            group = trades.setdefault(trade["s"], [])
            if len(group) < MAX_TRADES_PER_MESSAGE:
                group.append(trade)
                continue
            reason = f"the frame held more than {MAX_TRADES_PER_MESSAGE} trades of one symbol"
        refused.append(Refused(reason, json.dumps(trade, separators=(",", ":")), position))
    return Content(kind, trades, refused)


def _unreadable(kind: str, reason: str, text: str) -> Content:
    return Content(kind, {}, [Refused(reason, text, 0)])


def _reason(trade: Any) -> str | None:
    """Return why Avro cannot express a trade; a time that is a whole float becomes an integer."""
    if type(trade) is not dict:
        return "the trade was not an object"
    get: Any = trade.get
    price, volume, made, conditions = get("p"), get("v"), get("t"), get("c")
    if type(made) is float and made.is_integer():
        trade["t"] = made = int(made)
    if type(price) not in _NUMBERS or not math.isfinite(price):
        reason = "p was missing or not a finite number"
    elif type(volume) not in _NUMBERS or not math.isfinite(volume):
        reason = "v was missing or not a finite number"
    elif type(made) is not int or not LONG_MIN <= made <= LONG_MAX:
        reason = "t was missing or not a whole number of milliseconds"
    elif type(trade.get("s")) is not str:
        reason = "s was missing or not a text"
    elif conditions is not None and (
        type(conditions) is not list or not _CODES.issuperset(map(type, conditions))
    ):
        reason = "c was neither null nor a list of texts"
    else:
        return None
    return reason
