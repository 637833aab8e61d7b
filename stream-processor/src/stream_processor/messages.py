"""From Kafka's messages to trades, each with the reason why it was refused, if it was."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.avro.functions import from_avro

from common.identity import INDEX_DIGITS, LINE_DIGITS, MAX_SYMBOL_LENGTH
from common.schemas import Schema, events_schema, trades_schema
from stream_processor.columns import Columns

FUTURE_TOLERANCE_MS = 5 * 60 * 1000
FIRST_TIMESTAMP_MS = 946_684_800_000  # the year 2000: what is earlier was stamped in seconds, or not at all
LAST_TIMESTAMP_MS = 253_402_300_799_999  # the year 9999, the last that every server can hold

TRADE_COLUMNS: Columns = {
    "symbol": "string",
    "hour": "timestamp",
    "trade_timestamp": "timestamp",
    "trade_id": "string",
    "price": "double",
    "volume": "double",
    "trade_conditions": "array<string>",
    "ingest_timestamp": "timestamp",
    "type": "string",
}
EVENT_COLUMNS: Columns = {
    "day": "date",
    "at": "timestamp",
    "session": "string",
    "kind": "string",
    "detail": "string",
    "gap_seconds": "double",
}


def read_trades(messages: DataFrame, schemas: dict[str, Schema]) -> DataFrame:
    """Return one row a trade, and one row a message that cannot be read.

    `messages` is what Spark's Kafka source gives with headers. The rows have TRADE_COLUMNS, then `reason`
    (null when the trade is good), `frame`, `received_ms` and `rejected` (the bytes to put into dead letters).
    """
    decoded = messages.select(
        "value",
        _header("frame").cast("string").alias("frame"),
        _header("schema").cast("string").alias("schema"),
        _header("received_ms").cast("string").cast("long").alias("received_ms"),
    )
    decoded = decoded.withColumn(
        "message",
        F.coalesce(
            *(
                F.when(
                    F.col("schema") == fingerprint,
                    from_avro(
                        "value", schema.text, {"mode": "PERMISSIVE", "avroSchema": trades_schema().text}
                    ),
                )
                for fingerprint, schema in schemas.items()
            )
        ),
    ).withColumn("message_reason", _message_reason(schemas))
    rows = decoded.select(
        "*",
        F.posexplode_outer(F.when(F.col("message_reason").isNull(), F.col("message.data"))).alias(
            "index", "d"
        ),
    ).where(F.col("d").isNotNull() | F.col("message_reason").isNotNull())
    frame = F.split("frame", ":")
    reason = F.coalesce("message_reason", _trade_reason())
    timestamp = F.timestamp_millis(F.when(_known_time("d.t"), F.col("d.t")))
    return rows.select(
        F.col("d.s").alias("symbol"),
        F.date_trunc("hour", timestamp).alias("hour"),
        timestamp.alias("trade_timestamp"),
        F.concat_ws(
            ":",
            frame[0],
            F.lpad(frame[1], LINE_DIGITS, "0"),
            F.lpad(F.col("index").cast("string"), INDEX_DIGITS, "0"),
        ).alias("trade_id"),
        F.col("d.p").alias("price"),
        F.col("d.v").alias("volume"),
        F.array_compact("d.c").alias("trade_conditions"),
        F.timestamp_millis("received_ms").alias("ingest_timestamp"),
        F.col("message.type").alias("type"),
        reason.alias("reason"),
        "frame",
        "received_ms",
        # Only where it is needed: the JSON of every trade would be a fifth of all the CPU time.
        F.when(F.col("d").isNull(), F.col("value"))
        .when(reason.isNotNull(), F.to_json("d").cast("binary"))
        .alias("rejected"),
    )


def read_events(messages: DataFrame) -> DataFrame:
    """Return one row a feed event.

    `messages` is what Spark's Kafka source gives. The rows have EVENT_COLUMNS, then `reason` (null when the
    event could be read), `rejected` (the message's value), and the message's topic, partition and offset.
    """
    decoded = messages.select(
        from_avro("value", events_schema().text, {"mode": "PERMISSIVE"}).alias("event"),
        F.col("value").alias("rejected"),
        "topic",
        "partition",
        "offset",
    ).withColumn("at", F.timestamp_millis(F.when(_known_time("event.at"), F.col("event.at"))))
    readable = F.col("at").isNotNull() & F.col("event.session").isNotNull()
    return decoded.select(
        F.to_date("at").alias("day"),
        "at",
        "event.session",
        "event.kind",
        "event.detail",
        "event.gap_seconds",
        F.when(~readable, F.lit("the feed event could not be decoded as Avro")).alias("reason"),
        "rejected",
        "topic",
        "partition",
        "offset",
    )


def trade_dead_letters(trades: DataFrame) -> DataFrame:
    """Return what Spark's Kafka sink needs to write the refused rows of `read_trades`."""
    return trades.where("reason IS NOT NULL").select(
        F.col("symbol").cast("binary").alias("key"),
        F.col("rejected").alias("value"),
        _headers(
            reason=F.col("reason"),
            frame=F.col("frame"),
            received_ms=F.col("received_ms"),
            trades=F.lit(1),
            trade_id=F.when(F.col("symbol").isNotNull(), F.col("trade_id")),
        ),
    )


def event_dead_letters(events: DataFrame) -> DataFrame:
    """Return what Spark's Kafka sink needs to write the refused rows of `read_events`."""
    return events.where("reason IS NOT NULL").select(
        F.col("rejected").alias("value"),
        _headers(
            reason=F.col("reason"),
            topic=F.col("topic"),
            partition=F.col("partition"),
            offset=F.col("offset"),
            trades=F.lit(0),
        ),
    )


def _headers(**values: Column) -> Column:
    return F.array(
        *(
            F.struct(F.lit(name).alias("key"), value.cast("string").cast("binary").alias("value"))
            for name, value in values.items()
        )
    ).alias("headers")


def _header(name: str) -> Column:
    return F.filter("headers", lambda header: header["key"] == name)[0]["value"]


def _message_reason(schemas: dict[str, Schema]) -> Column:
    return (
        F.when(
            F.col("frame").isNull() | ~F.col("frame").rlike(r"^\d{8}T\d{9}[ldr]:[1-9]\d{0,9}$"),
            F.lit("the header frame was missing or not <journal id>:<line>"),
        )
        .when(F.col("received_ms").isNull(), F.lit("the header received_ms was missing or not a number"))
        .when(
            F.col("schema").isNull() | ~F.col("schema").isin(*schemas),
            F.lit("the header schema was missing or named no known schema"),
        )
        .when(F.col("message.data").isNull(), F.lit("the value could not be decoded as Avro"))
    )


def _known_time(name: str) -> Column:
    return F.col(name).between(FIRST_TIMESTAMP_MS, LAST_TIMESTAMP_MS)


def _trade_reason() -> Column:
    return (
        F.when(~_known_time("d.t"), F.lit("the time was before 2000 or after 9999"))
        .when(
            F.col("d.t") > F.col("received_ms") + FUTURE_TOLERANCE_MS,
            F.lit("the trade was stamped more than 5 minutes after its receipt"),
        )
        .when(F.col("d.s") == "", F.lit("the symbol was empty"))
        .when(
            _not_finite("d.p") | _not_finite("d.v"),
            F.lit("the price or the volume was not a finite number"),
        )
        .when(F.col("d.p") <= 0, F.lit("the price was not above 0"))
        .when(F.col("d.v") < 0, F.lit("the volume was negative"))
        .when(
            F.length("d.s") > MAX_SYMBOL_LENGTH,
            F.lit(f"the symbol was longer than {MAX_SYMBOL_LENGTH} characters"),
        )
    )


def _not_finite(name: str) -> Column:
    value = F.col(name)
    return F.isnan(value) | (F.abs(value) == float("inf"))
