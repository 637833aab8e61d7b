"""Spark: its start, work spread over it, and the simulation, summed in any order."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self, TypeVar

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException

from common.settings import ROOT
from common.spark import configure, java_message
from gbm_analysis.settings import GbmSettings
from gbm_analysis.tasks import Result, Task, add_up, tally

# The heap grows from 64 MB as it is needed; Java would begin with a 64th of the machine's memory.
_JAVA_OPTIONS = (
    "-Duser.timezone=UTC -Xms64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 "
    f"-Dlog4j2.configurationFile={ROOT / 'gbm-analysis' / 'log4j2.properties'}"
)

STALL_SECONDS = 540.0  # less than the hourly service allows, so that there is a word about it
PROGRESS_SECONDS = 2.0

Item = TypeVar("Item")
Made = TypeVar("Made")


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
) -> dict[str, Result]:
    """Return each symbol's result; the same on any number of partitions and in any order of the tasks."""
    slices = min(len(tasks), partitions or context.defaultParallelism)
    return dict(add_up(run_on_spark(context, tasks, tally, slices)))


def run_on_spark(
    context: SparkContext,
    items: Sequence[Item],
    work: Callable[[Iterable[Item]], Iterable[Made]],
    partitions: int,
    report: Callable[[str], None] | None = None,
) -> list[Made]:
    """Return what `work` makes of all partitions; `report` gets a line on the way now and then.

    Raises SparkError when a task fails, or when none ends for too long.
    """
    with _JobMonitor(context, report) as monitor:
        try:
            results: list[Made] = context.parallelize(items, partitions).mapPartitions(work).collect()
            return results
        except Py4JJavaError as error:
            if monitor.stalled:
                raise SparkError(
                    f"Spark did not finish a task within {STALL_SECONDS:.0f} s: "
                    "look whether its cluster had a free worker."
                ) from None
            raise SparkError(f"Spark did not do its part: {java_message(error)}") from None


class _JobMonitor:
    """Watches the tasks of the one job that runs: reports how many have ended, and cancels a stalled job."""

    def __init__(self, context: SparkContext, report: Callable[[str], None] | None) -> None:
        self.stalled = False
        self._context = context
        self._report = report
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spark-monitor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        tracker = self._context.statusTracker()
        completed, moved = 0, time.monotonic()
        while not self._ended.wait(PROGRESS_SECONDS):
            stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
            for stage in stages:
                if stage is not None and stage.numCompletedTasks != completed:
                    completed, moved = stage.numCompletedTasks, time.monotonic()
                    if self._report is not None:
                        self._report(f"{completed} of {stage.numTasks} tasks ...")
            if time.monotonic() - moved > STALL_SECONDS:
                self.stalled = True
                self._context.cancelAllJobs()
                return


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = Path(home) / "bin" / "java" if home else "java"
    if shutil.which(java) is None:
        raise SparkError(
            f"Spark did not start: Java was not found at {java}; install Java 17 or set JAVA_HOME."
        )
