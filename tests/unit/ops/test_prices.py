from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.monitoring.prices import PriceFileError, PriceRule, Prices, judge, load

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Store:
    """Prices by symbol."""

    def __init__(self, **prices: Prices) -> None:
        self._prices = prices

    def prices(self, symbol: str, start: datetime, now: datetime) -> Prices:
        assert start < now
        return self._prices.get(symbol, Prices([], None))


def test_the_file_lists_conditions(tmp_path: Path) -> None:
    assert load(tmp_path) == []
    (tmp_path / "alerts.yaml").write_text(
        "- { symbol: AAPL, above: 200 }\n- { symbol: AAPL, moves_percent: 2, minutes: 5 }\n"
        "- { symbol: MSFT, leaves_forecast: true }\n"
    )
    above, moves, leaves = load(tmp_path)
    assert (above.symbol, above.above) == ("AAPL", 200)
    assert (moves.moves_percent, moves.minutes) == (2, 5)
    assert leaves.leaves_forecast
    (tmp_path / "alerts.yaml").write_text("# none yet\n")
    assert load(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- { symbol: AAPL }", "wrong at 0: .*one of above, below"),
        ("- { symbol: AAPL, above: 1, below: 2 }", "one of above, below"),
        ("- { symbol: AAPL, above: much }", "wrong at 0 above"),
        ("- { symbol: AAPL, abov: 1 }", "wrong at 0 abov"),
        ("symbol: AAPL", "wrong at its beginning"),
        ("- { symbol: AAPL", "could not be read"),
    ],
)
def test_a_mistake_in_the_file_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "alerts.yaml").write_text(text)
    with pytest.raises(PriceFileError, match=words) as error:
        load(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("condition", "closes", "band", "expected"),
    [
        ({"above": 100}, [90, 101], None, "A was above 100: 101."),
        ({"above": 100}, [101, 100], None, None),
        ({"below": 100}, [99], None, "A was below 100: 99."),
        ({"below": 100}, [99, 100], None, None),
        ({"moves_percent": 2}, [100, 103, 102], None, "A moved by 2 % within 15 minutes: 102."),
        ({"moves_percent": 2}, [100, 98], None, "A moved by 2 % within 15 minutes: 98."),
        ({"moves_percent": 2}, [100, 101.9], None, None),
        ({"leaves_forecast": True}, [100, 111], (95, 110), "A left the 90 % band of its forecast: 111."),
        ({"leaves_forecast": True}, [100, 94], (95, 110), "A left the 90 % band of its forecast: 94."),
        ({"leaves_forecast": True}, [111, 110], (95, 110), None),
        ({"leaves_forecast": True}, [1], None, None),
    ],
)
def test_a_condition_holds_for_the_newest_price(
    condition: dict[str, float], closes: list[float], band: tuple[float, float] | None, expected: str | None
) -> None:
    rule = PriceRule(symbol="A", **condition)  # type: ignore[arg-type]
    alerts = list(judge([rule], Store(A=Prices(closes, band)), NOW))
    assert [alert.summary for alert in alerts] == ([expected] if expected else [])


def test_a_symbol_without_a_fresh_price_is_not_judged() -> None:
    assert list(judge([PriceRule(symbol="B", below=1e9)], Store(), NOW)) == []


def test_an_alert_keeps_its_name_while_the_price_changes() -> None:
    rule = PriceRule(symbol="A", above=1)
    keys = {alert.key for price in (2.0, 3.0) for alert in judge([rule], Store(A=Prices([price], None)), NOW)}
    assert keys == {"Price A was above 1"}
