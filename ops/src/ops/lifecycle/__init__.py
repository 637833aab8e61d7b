"""Starts and stops the stack."""
