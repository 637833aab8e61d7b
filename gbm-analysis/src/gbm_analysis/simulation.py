"""The simulation on Spark: chunks of paths, tallied where they are drawn, summed in any order."""

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException

from common.gbm.simulation import Tally
from common.settings import ROOT
from common.spark import configure, java_message
from gbm_analysis.settings import GbmSettings
from gbm_analysis.tasks import Task, add_up, tally

_JAVA_OPTIONS = (
    "-Duser.timezone=UTC -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "
    f"-Dlog4j2.configurationFile={ROOT / 'gbm-analysis' / 'log4j2.properties'}"
)

TIME_LIMIT_SECONDS = 540.0  # less than the hourly service allows, so that there is a word about it


class SparkError(Exception):
    """Say in one sentence why Spark did not simulate."""


@contextmanager
def spark_context(settings: GbmSettings) -> Iterator[SparkContext]:
    """Start Spark, and stop it; raise SparkError when it does not start."""
    scratch = settings.market_home / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    configuration = SparkConf().setAll(
        [
            *configure(settings, "gbm-analysis").items(),
            ("spark.driver.memory", f"{settings.gbm_driver_memory_mb}m"),
            ("spark.driver.extraJavaOptions", _JAVA_OPTIONS),
            ("spark.local.dir", str(scratch)),
            ("spark.ui.enabled", "false"),
        ]
    )
    _require_java()
    try:
        context = SparkContext(conf=configuration)
    except Py4JJavaError as error:
        raise SparkError(f"Spark did not start: {java_message(error)}") from None
    except PySparkException as error:
        raise SparkError(f"Spark did not start: {error}") from None
    try:
        yield context
    finally:
        context.stop()


class LazySpark:
    """Spark, started when it is first needed; to be used in a `with`, which stops it."""

    def __init__(self, settings: GbmSettings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._context: SparkContext | None = None

    def context(self) -> SparkContext:
        """Return the running context; raise SparkError when it does not start."""
        if self._context is None:
            self._context = self._stack.enter_context(spark_context(self._settings))
        return self._context

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def run_tasks(
    context: SparkContext, tasks: Sequence[Task], partitions: int | None = None
) -> dict[str, Tally]:
    """Return each symbol's tally; the same on any number of partitions and in any order of the tasks."""
    slices = min(len(tasks), partitions or context.defaultParallelism)
    out_of_time = threading.Timer(TIME_LIMIT_SECONDS, context.cancelAllJobs)
    out_of_time.daemon = True
    out_of_time.start()
    try:
        parts = context.parallelize(tasks, slices).mapPartitions(tally).collect()
    except Py4JJavaError as error:
        if not out_of_time.is_alive():
            raise SparkError(
                f"Spark did not simulate within {TIME_LIMIT_SECONDS:.0f} s: "
                "look whether its cluster had a free worker."
            ) from None
        raise SparkError(f"Spark did not simulate: {java_message(error)}") from None
    finally:
        out_of_time.cancel()
    return dict(add_up(parts))


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else "java"
    if shutil.which(java) is None:
        raise SparkError(
            f"Spark did not start: Java was not found at {java}; install Java 17 or set JAVA_HOME."
        )
