"""Runs the tests and the static checks."""
