"""How a Spark job is configured: in its own process, or on a cluster without its secret in a command line."""

import os
import stat
from pathlib import Path

import pytest

from common.settings import SecretStr
from common.spark import SparkSettings, configure

SECRET = "kept0secret"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back what is set for Spark."""
    for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "SPARK_LOCAL_IP", "SPARK_CONF_DIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def settings(home: Path, **changes: object) -> SparkSettings:
    return SparkSettings(market_home=home, spark_secret_key=SecretStr(SECRET), **changes)  # type: ignore[arg-type]


def test_a_job_of_its_own_needs_no_files_and_no_limits(tmp_path: Path) -> None:
    configuration = configure(settings(tmp_path), "some-job")
    assert configuration["spark.master"] == "local[*]"
    assert "spark.cores.max" not in configuration
    assert configuration["spark.ui.killEnabled"] == "false"
    assert list(tmp_path.iterdir()) == []
    assert "SPARK_CONF_DIR" not in os.environ


def test_on_a_cluster_the_secret_is_in_a_file_of_the_owner_only(tmp_path: Path) -> None:
    chosen = settings(tmp_path, spark_master="spark://somewhere:7077", spark_cores_max=3)
    configuration = configure(chosen, "some-job")
    assert configuration["spark.cores.max"] == "3"
    assert SECRET not in str(configuration)
    [file] = Path(os.environ["SPARK_CONF_DIR"]).iterdir()
    assert file.name == "spark-defaults.conf"
    assert f"spark.authenticate.secret {SECRET}" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("master", ["yarn", "local[", "spark://", "somewhere:7077"])
def test_another_kind_of_master_is_refused(tmp_path: Path, master: str) -> None:
    with pytest.raises(ValueError, match="spark_master"):
        settings(tmp_path, spark_master=master)
