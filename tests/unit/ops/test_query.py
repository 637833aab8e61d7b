from ops.inspection.query import table


def test_a_table_is_aligned_and_empty_without_rows() -> None:
    assert table([]) == "(no rows)"
    assert table([{"a": 1, "long": None}, {"a": 22, "long": "x"}]) == "a   long\n--  ----\n1\n22  x"
