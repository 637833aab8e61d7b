"""The benchmarks: each module is one, by its name, and has a function `measure(report) -> list[Figure]`."""
