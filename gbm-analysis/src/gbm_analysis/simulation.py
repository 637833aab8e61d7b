"""The simulation on Spark: chunks of paths, tallied where they are drawn, summed in any order."""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException

from common.gbm import Counts
from common.settings import ROOT
from gbm_analysis.settings import GbmSettings
from gbm_analysis.tasks import Task, add_up, tally

_JAVA_OPTIONS = (
    "-Duser.timezone=UTC -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "
    f"-Dlog4j2.configurationFile={ROOT / 'gbm-analysis' / 'log4j2.properties'}"
)


class SparkError(Exception):
    """Say in one sentence why Spark did not simulate."""


@contextmanager
def spark_context(settings: GbmSettings) -> Iterator[SparkContext]:
    """Start Spark, and stop it; raise SparkError when it does not start."""
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", settings.spark_driver_host)
    scratch = settings.market_home / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    configuration = SparkConf().setAll(
        [
            ("spark.app.name", "gbm-analysis"),
            ("spark.master", settings.spark_master),
            ("spark.driver.memory", f"{settings.gbm_driver_memory_mb}m"),
            ("spark.driver.host", settings.spark_driver_host),
            ("spark.driver.bindAddress", settings.spark_driver_host),
            ("spark.driver.extraJavaOptions", _JAVA_OPTIONS),
            ("spark.executor.extraJavaOptions", "-Duser.timezone=UTC"),
            ("spark.local.dir", str(scratch)),
            ("spark.ui.enabled", "false"),
            ("spark.ui.showConsoleProgress", "false"),
        ]
    )
    _require_java()
    try:
        context = SparkContext(conf=configuration)
    except Py4JJavaError as error:
        raise SparkError(f"Spark did not start: {_first_line(error)}") from None
    except PySparkException as error:
        raise SparkError(f"Spark did not start: {error}") from None
    try:
        yield context
    finally:
        context.stop()


def run_tasks(
    context: SparkContext, tasks: Sequence[Task], partitions: int | None = None
) -> dict[str, Counts]:
    """Return each symbol's tally; the same on any number of partitions and in any order of the tasks."""
    slices = min(len(tasks), partitions or context.defaultParallelism)
    try:
        parts = context.parallelize(tasks, slices).mapPartitions(tally).collect()
    except Py4JJavaError as error:
        raise SparkError(f"Spark did not simulate: {_first_line(error)}") from None
    return dict(add_up(parts))


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else "java"
    if shutil.which(java) is None:
        raise SparkError(
            f"Spark did not start: Java was not found at {java}; install Java 17 or set JAVA_HOME."
        )


def _first_line(error: Py4JJavaError) -> str:
    return str(error.java_exception.getMessage()).partition("\n")[0]
