"""The columns that the job writes exist."""

import pytest

from cql import read_tables
from gbm_analysis import store
from gbm_analysis.records import Judgement


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("gbm_parameters", store._PARAMETERS),
        ("gbm_parameters", store._REFUSAL),
        ("gbm_forecasts", store._FORECAST),
        ("gbm_distributions", store._DISTRIBUTION),
        ("gbm_scores", store._OUTCOME),
        ("gbm_judgements", ", ".join(Judgement.columns())),
    ],
)
def test_every_column_that_is_written_is_in_the_schema(table: str, columns: str) -> None:
    assert set(columns.split(", ")) - set(read_tables()[table].columns) == set()


def test_a_forecast_leaves_no_column_empty() -> None:
    written = {"gbm_parameters": store._PARAMETERS, "gbm_judgements": ", ".join(Judgement.columns())}
    for table, columns in written.items():
        assert set(read_tables()[table].columns) == set(columns.split(", "))


def test_levels_are_named_in_basis_points() -> None:
    assert store.TOUCH_COLUMNS[0] == "touch_down_500bp"
    assert store.END_COLUMNS[4] == "end_up_50bp"
