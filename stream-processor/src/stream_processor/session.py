"""The Spark session, and how it logs in to Kafka and Cassandra."""

from pathlib import Path

from py4j.java_gateway import java_import
from pyspark import SparkConf
from pyspark.sql import SparkSession

from common.limits import MAX_FRAME_BYTES
from common.settings import ROOT
from common.spark import configure
from stream_processor.settings import StreamProcessorSettings

COMPONENT = "stream-processor"
POLLING_MS = 200
LOG_CONFIGURATION = ROOT / COMPONENT / "log4j2.properties"
# A damaged message may say that billions of trades or characters follow: Avro would make room for them.
JAVA_OPTIONS = "-Duser.timezone=UTC " + " ".join(
    f"-Dorg.apache.avro.limits.{what}.maxLength={MAX_FRAME_BYTES}"
    for what in ("collectionItems", "string", "bytes")
)


def start_session(settings: StreamProcessorSettings, with_ui: bool = True) -> SparkSession:
    """Start Spark; no password is among its launch arguments, which every user of the machine can read."""
    jars = needed_jars(settings)
    shared = SparkConf(loadDefaults=False).setAll(list(configure(settings, COMPONENT).items()))
    spark = (
        SparkSession.builder.config(conf=shared)
        .config("spark.jars", ",".join(map(str, jars)))
        .config("spark.driver.memory", settings.spark_driver_memory)
        .config(
            "spark.driver.extraJavaOptions", f"{JAVA_OPTIONS} -Dlog4j2.configurationFile={LOG_CONFIGURATION}"
        )
        .config("spark.executor.extraJavaOptions", JAVA_OPTIONS)
        .config("spark.ui.enabled", with_ui)
        .config("spark.ui.port", settings.spark_ui_port)
        .config("spark.ui.retainedJobs", 50)
        .config("spark.ui.retainedStages", 50)
        .config("spark.sql.ui.retainedExecutions", 20)
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", 2)
        .config("spark.sql.adaptive.enabled", False)
        .config("spark.sql.streaming.minBatchesToRetain", 20)
        .config("spark.sql.streaming.metricsEnabled", False)
        .config("spark.sql.streaming.pollingDelay", POLLING_MS)
        .config("spark.cassandra.connection.host", settings.cassandra_host)
        .config("spark.cassandra.connection.port", settings.cassandra_port)
        .config("spark.cassandra.output.consistency.level", "LOCAL_QUORUM")
        .config("spark.cassandra.output.ignoreNulls", True)
        .config("spark.cassandra.output.batch.size.bytes", 16384)
        .config("spark.cassandra.output.concurrent.writes", 16)
        .config("spark.cleaner.periodicGC.interval", "10min")
        .getOrCreate()
    )
    # Every batch asks for these; found by a package's `*` instead, each costs a search of all jars a package.
    for name in ("org.apache.spark.sql.functions", "org.apache.spark.api.python.PythonUtils"):
        java_import(spark.sparkContext._jvm, name)
    spark.conf.set("spark.cassandra.auth.username", settings.cassandra_username)
    spark.conf.set(
        "spark.cassandra.auth.password", settings.cassandra_stream_processor_password.get_secret_value()
    )
    return spark


def needed_jars(settings: StreamProcessorSettings) -> list[Path]:
    """Return the jars that Spark is given; raise FileNotFoundError with the name of one that is missing."""
    folder = settings.market_jars / COMPONENT
    names = [line.split()[1] for line in (ROOT / COMPONENT / "jars.sha256").read_text().splitlines()]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"The jar {missing[0]} was missing in {folder}: ./market up installs it.")
    return [folder / name for name in names]


def has_workers(spark: SparkSession, settings: StreamProcessorSettings) -> bool:
    """Tell whether anybody works for this driver: itself, or at least one worker of the cluster."""
    # The driver is counted too.
    return not settings.on_cluster or spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() > 1


def kafka_options(settings: StreamProcessorSettings) -> dict[str, str]:
    """Return the options with which Spark's Kafka source and sink log in."""
    password = settings.kafka_stream_processor_password.get_secret_value()
    return {
        "kafka.bootstrap.servers": settings.bootstrap_servers,
        "kafka.security.protocol": "SASL_PLAINTEXT",
        "kafka.sasl.mechanism": "SCRAM-SHA-512",
        "kafka.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required "
            f'username="{settings.kafka_username}" password="{password}";'
        ),
    }
