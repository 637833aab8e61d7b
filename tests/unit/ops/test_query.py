import pytest

from ops.errors import MarketError
from ops.inspection.query import run_query, table
from ops.settings import OpsSettings
from stack import free_ports


def test_a_table_is_aligned_and_empty_without_rows() -> None:
    assert table([]) == "(no rows)"
    assert table([{"a": 1, "long": None}, {"a": 22, "long": "x"}]) == "a   long\n--  ----\n1\n22  x"


def test_a_presto_that_is_not_there_is_a_sentence_with_its_address() -> None:
    [port] = free_ports(1)
    with pytest.raises(MarketError, match=rf"Presto did not answer on 127\.0\.0\.1:{port}; see \./market"):
        run_query(OpsSettings(presto_port=port), "select 1")
