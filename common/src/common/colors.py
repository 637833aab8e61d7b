"""The color of a symbol, the same in every chart of every page."""

import colorsys
import zlib

from common.instruments import instruments

GAP = "#FFB74D"
_LIGHTNESS, _SATURATION = 0.55, 0.65  # visible on a light and on a dark page


def symbol_color(symbol: str) -> str:
    """Return a symbol's color; one that is not listed has the hue that its name gives it."""
    known = instruments().get(symbol)
    if known is not None:
        return known.color
    hue = zlib.crc32(symbol.encode()) / 2**32
    channels = colorsys.hls_to_rgb(hue, _LIGHTNESS, _SATURATION)
    return "#" + "".join(f"{round(255 * channel):02X}" for channel in channels)
