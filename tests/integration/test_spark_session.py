"""What the stream processor relies on in Spark, on a local session without servers."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812

from common.schemas import trade_conditions
from stream_processor.bar_writer import windows_of
from stream_processor.bars import bars
from stream_processor.observer import Observer
from stream_processor.offsets import OFFSET_LOG_VERSION
from stream_processor.session import has_workers
from stream_processor.settings import StreamProcessorSettings
from stream_processor.windows import Window, WindowTrades

START = datetime(2024, 8, 8, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def test_no_password_is_on_a_command_line(
    spark: SparkSession, spark_settings: StreamProcessorSettings
) -> None:
    password = spark_settings.cassandra_stream_processor_password.get_secret_value()
    processes = psutil.process_iter(["cmdline"])  # of an ended process it gives None
    commands = [process.info["cmdline"] or [] for process in processes]
    assert any("java" in command[0] for command in commands if command)
    assert not any(password in argument for command in commands for argument in command)
    assert spark.conf.get("spark.cassandra.auth.password") == password


def test_spark_computes_in_utc(spark: SparkSession) -> None:
    [row] = spark.sql(
        "SELECT current_timezone() AS zone, CAST(timestamp '2024-03-31 02:30:00' AS string) AS time"
    ).collect()
    assert (row.zone, row.time) == ("UTC", "2024-03-31 02:30:00")
    assert spark.sparkContext._jvm.java.util.TimeZone.getDefault().getID() == "UTC"


def test_a_local_spark_works_itself(spark: SparkSession, spark_settings: StreamProcessorSettings) -> None:
    assert has_workers(spark, spark_settings)
    alone = spark_settings.model_copy(update={"spark_master": "spark://master:7077"})
    assert not has_workers(spark, alone)  # the driver alone does nothing on a cluster


def test_sparks_offset_log_has_a_version_the_metadata_and_a_line_for_each_source(
    spark: SparkSession, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "one.txt").write_text("a line\n")
    query = (
        spark.readStream.text(str(tmp_path / "in"))
        .writeStream.foreachBatch(lambda batch, _: None)
        .option("checkpointLocation", str(tmp_path / "checkpoint"))
        .trigger(availableNow=True)
        .start()
    )
    assert query.awaitTermination(60)
    version, metadata, source = (tmp_path / "checkpoint" / "offsets" / "0").read_text().splitlines()
    assert version == OFFSET_LOG_VERSION
    assert "batchTimestampMs" in json.loads(metadata)
    assert json.loads(source) == {"logOffset": 0}


def test_the_windows_of_a_batch_and_their_trades(spark: SparkSession) -> None:
    trades = spark.createDataFrame(
        [
            ("A", at(0), at(1.25), "3", 1.0, 1.0, None),
            ("A", at(0), at(0.5), "4", 1.0, 1.0, None),
            ("A", at(0), at(0.5), "4", 1.0, 1.0, None),  # the same trade once more
            ("A", at(5), at(5), "1", 1.0, 1.0, ["16"]),
            ("B", at(0), at(4.999), "2", 1.0, 1.0, []),
        ],
        "symbol string, window_start timestamp, trade_timestamp timestamp, trade_id string, price double, "
        "volume double, trade_conditions array<string>",
    )
    assert windows_of(bars(trades, trade_conditions())) == {
        Window("A", at(0)): WindowTrades(2, at(0.5), at(1.25), "4"),
        Window("A", at(5)): WindowTrades(1, at(5), at(5), "1"),
        Window("B", at(0)): WindowTrades(1, at(4.999), at(4.999), "2"),
    }


def test_figures_are_observed_while_rows_are_written(spark: SparkSession) -> None:
    observer = Observer(
        spark,
        F.count("n").alias("count"),
        F.percentile_approx("n", [0.1, 0.9], 100).alias("quantiles"),
        F.max(F.when(F.col("n") > 100, F.col("n"))).alias("none"),
    )
    for rows in (10, 20):
        observed, figures = observer.observe(spark.range(1, rows + 1).select(F.col("id").alias("n")))
        observed.write.format("noop").mode("append").save()
        assert figures() == {"count": rows, "quantiles": [rows // 10, rows * 9 // 10]}
