"""From Kafka's messages to trades, each with the reason why it was refused, if it was."""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.avro.functions import from_avro

from common.identity import INDEX_DIGITS, LINE_DIGITS, MAX_SYMBOL_LENGTH
from common.limits import MAX_DEAD_LETTER_BYTES
from common.schemas import Schema, events_schema
from stream_processor.columns import Columns

FUTURE_TOLERANCE_MS = 5 * 60 * 1000
FIRST_TIMESTAMP_MS = 946_684_800_000  # the year 2000: what is earlier was stamped in seconds, or not at all
LAST_TIMESTAMP_MS = 253_402_300_799_999  # the year 9999, the last that every server can hold
MAX_SESSION_LENGTH = 256  # Cassandra takes no key over 64 KiB
MAX_FRAME_NAME_LENGTH = 100
# One of the largest dead letters with its headers; Kafka's own limit is larger, its client's default is not.
MAX_REQUEST_BYTES = MAX_DEAD_LETTER_BYTES + 64 * 1024

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


def read_trades(messages: DataFrame, schemas: dict[str, Schema], reader: Schema) -> DataFrame:
    """Return one row a trade, and one row a message that cannot be read.

    `messages` is what Spark's Kafka source gives with headers. A message is decoded by that of `schemas`
    which its header names, and understood by `reader`, to which all must be compatible. The rows have
    TRADE_COLUMNS (with nulls among a trade's conditions: see `stored_columns`), then `reason` (null when
    the trade is good), `frame`, `received_ms`, and of refused ones `unreadable` (the message's value) or
    `refused` (the trade) and `place` (the message's topic, partition and offset).

    No expression on a row of a trade is one for which Spark generates no code: it would write each row twice.
    """
    decoded = messages.select(
        "value",
        F.struct("topic", "partition", "offset").alias("place"),
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
                    from_avro("value", schema.text, {"mode": "PERMISSIVE", "avroSchema": reader.text}),
                )
                for fingerprint, schema in schemas.items()
            )
        ),
    ).withColumn("message_reason", _message_reason(schemas))
    frame = F.split("frame", ":")
    # What is the same for all trades of a message is made before there is a row for each of them.
    parts = decoded.select(
        "place",
        "frame",
        "received_ms",
        "message_reason",
        F.when(F.col("message_reason").isNotNull(), F.col("value")).alias("unreadable"),
        F.concat(frame[0], F.lit(":"), F.lpad(frame[1], LINE_DIGITS, "0"), F.lit(":")).alias("id_of_frame"),
        F.col("message.type").alias("type"),
        F.when(F.col("message_reason").isNull(), F.col("message.data")).alias("data"),
    )
    rows = parts.select("*", F.posexplode_outer("data").alias("index", "d")).where(
        F.col("d").isNotNull() | F.col("message_reason").isNotNull()
    )
    reason = F.coalesce("message_reason", _trade_reason())
    timestamp = _time("d.t")
    return rows.select(
        F.col("d.s").alias("symbol"),
        F.date_trunc("hour", timestamp).alias("hour"),
        timestamp.alias("trade_timestamp"),
        F.concat("id_of_frame", F.lpad(F.col("index").cast("string"), INDEX_DIGITS, "0")).alias("trade_id"),
        F.col("d.p").alias("price"),
        F.col("d.v").alias("volume"),
        F.col("d.c").alias("trade_conditions"),
        F.timestamp_millis(F.when(_known_time("received_ms"), F.col("received_ms"))).alias(
            "ingest_timestamp"
        ),
        "type",
        reason.alias("reason"),
        "frame",
        "received_ms",
        "unreadable",
        F.when(reason.isNotNull(), F.col("d")).alias("refused"),
        F.when(reason.isNotNull(), F.col("place")).alias("place"),
    )


def read_events(messages: DataFrame) -> DataFrame:
    """Return one row a feed event.

    `messages` is what Spark's Kafka source gives. The rows have EVENT_COLUMNS, then `reason` (null when the
    event could be read), `rejected` (the message's value) and `place` (its topic, partition and offset).
    """
    decoded = messages.select(
        from_avro("value", events_schema().text, {"mode": "PERMISSIVE"}).alias("event"),
        F.col("value").alias("rejected"),
        F.struct("topic", "partition", "offset").alias("place"),
    ).withColumn("at", _time("event.at"))
    reason = F.when(
        F.col("at").isNull() | F.col("event.session").isNull(),
        F.lit("the feed event could not be decoded as Avro"),
    ).when(
        F.length("event.session") > MAX_SESSION_LENGTH,
        F.lit(f"the feed event's session was longer than {MAX_SESSION_LENGTH} characters"),
    )
    return decoded.select(
        F.to_date("at").alias("day"),
        "at",
        "event.session",
        "event.kind",
        "event.detail",
        "event.gap_seconds",
        reason.alias("reason"),
        "rejected",
        "place",
    )


def stored_columns() -> tuple[Column, ...]:
    """Return the columns of `read_trades` as they are stored."""
    return tuple(
        F.array_compact(name).alias(name) if name == "trade_conditions" else F.col(name)
        for name in TRADE_COLUMNS
    )


def trade_dead_letters(trades: DataFrame) -> DataFrame:
    """Return what Spark's Kafka sink needs to write the refused rows of `read_trades`."""
    return _dead_letters(
        trades.withColumn("rejected", F.coalesce("unreadable", F.to_json("refused").cast("binary"))),
        key=F.substring("symbol", 1, MAX_SYMBOL_LENGTH).cast("binary"),
        # What is not of the collector may be as long as a message.
        frame=F.substring("frame", 1, MAX_FRAME_NAME_LENGTH),
        received_ms=F.col("received_ms"),
        trades=F.lit(1),
        trade_id=F.when(F.col("symbol").isNotNull(), F.col("trade_id")),
    )


def event_dead_letters(events: DataFrame) -> DataFrame:
    """Return what Spark's Kafka sink needs to write the refused rows of `read_events`."""
    return _dead_letters(events, key=F.lit(None).cast("binary"), trades=F.lit(0))


def _dead_letters(rows: DataFrame, key: Column, **headers: Column) -> DataFrame:
    """Return the refused rows as dead letters; of a value that is too long, the beginning."""
    cut = F.when(
        F.octet_length("rejected") > MAX_DEAD_LETTER_BYTES, F.lit(f" (cut to {MAX_DEAD_LETTER_BYTES} bytes)")
    )
    return rows.where("reason IS NOT NULL").select(
        key.alias("key"),
        F.substring("rejected", 1, MAX_DEAD_LETTER_BYTES).alias("value"),
        _headers(
            reason=F.concat("reason", F.coalesce(cut, F.lit(""))),
            topic=F.col("place.topic"),
            partition=F.col("place.partition"),
            offset=F.col("place.offset"),
            **headers,
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
        .when(
            F.col("received_ms").isNull() | ~_known_time("received_ms"),
            F.lit("the header received_ms was missing or no time in ms"),
        )
        .when(
            F.col("schema").isNull() | ~F.col("schema").isin(*schemas),
            F.lit("the header schema was missing or named no known schema"),
        )
        .when(F.col("message.data").isNull(), F.lit("the value could not be decoded as Avro"))
    )


def _time(name: str) -> Column:
    """Return the time of so many ms, null where it is unknown: Spark fails at one that it cannot hold."""
    return F.timestamp_millis(F.when(_known_time(name), F.col(name)))


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
