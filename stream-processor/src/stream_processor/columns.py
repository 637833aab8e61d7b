"""Columns of Spark's rows, as names and Spark's types in order."""

Columns = dict[str, str]


def ddl(columns: Columns) -> str:
    """Return the columns as Spark's schema string."""
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())
