"""Each symbol keeps its color."""

import re

from hypothesis import given
from hypothesis import strategies as st

from common.colors import COLORS, OTHERS, symbol_color


@given(st.text(min_size=1, max_size=20))
def test_every_symbol_has_the_same_color_each_time(symbol: str) -> None:
    assert re.fullmatch("#[0-9A-F]{6}", symbol_color(symbol))
    assert symbol_color(symbol) == symbol_color(symbol)


def test_listed_symbols_have_their_own_and_others_share_all_colors() -> None:
    assert symbol_color("BINANCE:BTCUSDT") == COLORS["BINANCE:BTCUSDT"]
    assert {symbol_color(f"SYM{number}") for number in range(300)} == set(OTHERS)
