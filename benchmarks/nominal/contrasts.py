"""Tests and intervals of the measures that follow a bit or an attribute across classes."""

RATES: dict = {}
COVERAGES: dict = {}
