"""Tests and intervals of the measures of several attributes, and of retrieval."""

RATES: dict = {}
COVERAGES: dict = {}
