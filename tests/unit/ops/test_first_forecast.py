from datetime import UTC, datetime, timedelta

from ops.lifecycle.first_forecast import Span, is_caught_up


def test_a_demo_has_caught_up_when_every_symbol_reaches_from_long_ago_to_now() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    long_ago = now - timedelta(hours=2)
    reaching = Span(long_ago, now)
    assert is_caught_up([reaching, Span(long_ago, now - timedelta(seconds=20))], now)
    assert not is_caught_up([], now)
    assert not is_caught_up([reaching, Span(long_ago, now - timedelta(minutes=2))], now)
    assert not is_caught_up([reaching, Span(now - timedelta(minutes=5), now)], now)
