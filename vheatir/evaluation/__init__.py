"""Benchmarks: scores with their protocol beside them, costs, and peers measured in the same run."""
