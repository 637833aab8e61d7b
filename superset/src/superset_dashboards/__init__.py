"""Superset's side of the project: what its SQL may read, how it talks to Presto, how it is provisioned."""
