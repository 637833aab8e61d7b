"""Figures of rows that are found while the rows are written."""

import json
from collections.abc import Callable
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812

NAME = "figures"


class Observer:
    """Observes aggregates of rows, which must have names.

    As pyspark's Observation, but with a handful of calls into the JVM: that one looks for many classes that
    are not there, which searches all jars each time, for every batch.
    """

    def __init__(self, spark: SparkSession, *aggregates: Column) -> None:
        self._spark = spark
        jvm: Any = spark.sparkContext._jvm
        self._observation = jvm.org.apache.spark.sql.Observation
        self._no_more = jvm.PythonUtils.toSeq([])
        self._figures: Any = F.to_json(F.struct(*aggregates)).alias(NAME)

    def observe(self, rows: DataFrame) -> tuple[DataFrame, Callable[[], dict[str, Any]]]:
        """Return the rows to be written, and a call that waits for their figures; nulls are left out."""
        observation = self._observation()
        observed = rows._jdf.observe(observation, self._figures._jc, self._no_more)
        return DataFrame(observed, self._spark), lambda: json.loads(observation.getAsJava().get(NAME))
