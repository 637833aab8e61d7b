"""Cassandra's schema, step by step, and the roles of its clients."""
