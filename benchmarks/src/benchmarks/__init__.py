"""Benchmarks beside peers: what is measured, how, and on which machine."""
