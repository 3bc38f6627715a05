"""Tests and intervals of the measures that compare bits with labels."""

from codelab.measures.class_information import class_information

RATES = {"class information": lambda sample: class_information(sample.codes, seed=sample.seed).p_value[sample.alive]}
COVERAGES: dict = {}
