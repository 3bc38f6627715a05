"""Planted samples, and the tests and intervals that are tried on them, for `benchmarks/information_power.py`."""
