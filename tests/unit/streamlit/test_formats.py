"""Numbers and times as the pages show them."""

from datetime import timedelta

import pytest

from forecast_example import MADE
from streamlit_pages import formats


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.price(67_123.456), "67,123.46"),
        (formats.price(0.171234567), "0.171235"),
        (formats.price(3.14159265), "3.1416"),
        (formats.price(float("nan")), "–"),
        (formats.percent(0.4567), "45.7 %"),
        (formats.percent(-0.0123, signed=True), "-1.23 %"),
        (formats.percent(0.000012, signed=True), "+0.0012 %"),
        (formats.percent(0.0), "0.00 %"),
        (formats.amount(8_140), "8,140"),
        (formats.amount(118_400), "118.4 k"),
        (formats.amount(2_300_000), "2.3 M"),
        (formats.amount(0.25), "0.25"),
        (formats.duration(59), "59 s"),
        (formats.duration(3600), "60 min"),
        (formats.duration(86_400), "24 h"),
        (formats.duration(-3), "0 s"),
        (formats.ago(MADE, MADE + timedelta(seconds=90)), "90 s ago"),
        (formats.ago(MADE, MADE + timedelta(days=400)), "2026-03-04"),
        (formats.moment(MADE), "2026-03-04 15:00:00 UTC"),
    ],
)
def test_numbers_and_times_read_well(text: str, expected: str) -> None:
    assert text == expected
