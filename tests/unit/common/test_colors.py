"""Each symbol keeps its color, and no two look the same."""

import itertools
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from common.colors import GAP, symbol_color
from common.instruments import instruments

# Björn Ottosson, "A perceptual color space for image processing", 2020.
CONES = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
OKLAB = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
JUST_NOTICEABLE = 0.02


def perceived(color: str) -> np.ndarray:
    channels = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return np.array(OKLAB) @ np.cbrt(np.array(CONES) @ linear)


@given(st.text(min_size=1, max_size=20))
def test_every_symbol_has_the_same_color_each_time(symbol: str) -> None:
    assert re.fullmatch("#[0-9A-F]{6}", symbol_color(symbol))
    assert symbol_color(symbol) == symbol_color(symbol)


def test_listed_symbols_and_gaps_can_be_told_apart() -> None:
    colors = [GAP, *map(symbol_color, instruments())]
    places = list(map(perceived, colors))
    closest = min(float(np.linalg.norm(one - other)) for one, other in itertools.combinations(places, 2))
    assert closest > 2 * JUST_NOTICEABLE


def test_other_symbols_hardly_ever_share_a_color() -> None:
    assert len({symbol_color(f"SYM{number}") for number in range(50)}) >= 48
