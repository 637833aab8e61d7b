"""Looks inside a stack: states, logs, findings, SQL."""
