"""The schemas of the wire and the table of sale conditions against what is agreed on."""

from common.schemas import Condition, events_schema, trade_conditions, trades_schema, trades_schemas

TRADES_FINGERPRINT = "11e5bddbbac67e60"


def test_the_schema_of_trades_is_the_one_that_messages_in_kafka_have() -> None:
    assert trades_schema().fingerprint == TRADES_FINGERPRINT
    assert trades_schemas()[TRADES_FINGERPRINT] == trades_schema()


def test_a_feed_event_has_the_columns_of_its_table_but_the_day() -> None:
    names = [field["name"] for field in events_schema().parsed["fields"]]
    assert names == ["at", "session", "kind", "detail", "gap_seconds"]


def test_sale_conditions_restrict_what_a_trade_updates() -> None:
    volume_only = ("3", "5", "10", "12", "17", "22", "25", "26", "37")
    no_open_or_close = ("9", "15", "21", "30", "32")
    expected = {
        **{code: Condition(code, "no", high_low=False, volume=True) for code in volume_only},
        **{code: Condition(code, "only alone", high_low=True, volume=True) for code in no_open_or_close},
        **{code: Condition(code, "no", high_low=False, volume=False) for code in ("16", "20")},
        "24": Condition("24", "yes", high_low=True, volume=True),
        "39": Condition("39", "yes", high_low=True, volume=False),
    }
    assert {condition.code: condition for condition in trade_conditions()} == expected
