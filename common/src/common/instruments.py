"""The instruments that the demo knows."""

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

from common.symbols import AssetClass, asset_class


class Instrument(NamedTuple):
    """An instrument; `tick` and `lot` are the smallest steps of price and volume, `volatility` is annual."""

    symbol: str
    name: str
    color: str
    price: float
    volatility: float
    tick: float
    lot: float
    trades_per_second: float

    @property
    def asset_class(self) -> AssetClass:
        """Return `stock` or `crypto`."""
        return asset_class(self.symbol)


@cache
def instruments() -> dict[str, Instrument]:
    """Return every instrument by its symbol."""
    with Path(__file__).with_name("instruments.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            Instrument(
                row["symbol"],
                row["name"],
                row["color"],
                *(float(row[name]) for name in Instrument._fields[3:]),
            )
            for row in csv.DictReader(file)
        ]
    return {row.symbol: row for row in rows}


def search(words: str) -> list[Instrument]:
    """Return the instruments whose symbol or name holds the words, the best match first."""
    wanted = words.strip().upper()
    found = [
        one
        for one in instruments().values()
        if wanted and (wanted in one.symbol or wanted in one.name.upper())
    ]
    return sorted(
        found, key=lambda one: (one.symbol != wanted, not one.symbol.startswith(wanted), one.symbol)
    )
