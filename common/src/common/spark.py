"""What the Spark jobs share: their settings, and how they reach a cluster."""

import os
import sys
from typing import Any

from pydantic import Field, SecretStr

from common.settings import Settings


class SparkSettings(Settings):
    """Where Spark runs: in this process, or on a cluster."""

    spark_master: str = Field(default="local[*]", pattern=r"^(local(\[.+\])?|spark://.+)$")
    spark_driver_host: str = "127.0.0.1"
    spark_cores_max: int = Field(default=2, ge=1)
    spark_executor_memory: str = Field(default="512m", pattern=r"^\d+[kmg]$")
    spark_secret_key: SecretStr = SecretStr("")

    @property
    def on_cluster(self) -> bool:
        """Return whether other processes than the driver do the work."""
        return self.spark_master.startswith("spark://")


def java_message(error: Any) -> str:
    """Return in one line what an error of Java says."""
    java = getattr(error, "java_exception", None)
    text = str(error if java is None else java.getMessage())
    return text.strip().partition("\n")[0]


def configure(settings: SparkSettings, job: str) -> dict[str, str]:
    """Prepare this process for Spark and return the configuration that every job has.

    The cluster's secret goes by a file: the configuration stands in a command line that every user can read.
    """
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", settings.spark_driver_host)
    configuration = {
        "spark.app.name": job,
        "spark.master": settings.spark_master,
        "spark.driver.host": settings.spark_driver_host,
        "spark.driver.bindAddress": settings.spark_driver_host,
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.ui.showConsoleProgress": "false",
        "spark.ui.killEnabled": "false",  # any page that a browser opens could follow such a link
    }
    if settings.on_cluster:
        folder = settings.market_home / "run" / f"{job}-spark"
        folder.mkdir(parents=True, exist_ok=True)
        secret = settings.spark_secret_key.get_secret_value()
        file = folder / "spark-defaults.conf"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as defaults:
            defaults.write(f"spark.authenticate true\nspark.authenticate.secret {secret}\n")
        os.environ["SPARK_CONF_DIR"] = str(folder)
        configuration |= {
            "spark.cores.max": str(settings.spark_cores_max),
            "spark.executor.memory": settings.spark_executor_memory,
        }
    return configuration
