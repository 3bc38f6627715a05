"""Retrieval on a bounded number of queries: the values are those of the measures, and the queries are counted."""

import dataclasses

import numpy as np
import pytest

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.retrieval import sampled
from codelab.retrieval.measures import knn_accuracy, precision_at_k, retrieval_map
from codelab.retrieval.sampled import sampled_retrieval
from tests.support.synthetic import prototypes


@pytest.fixture(scope="module")
def codes():
    plain = prototypes(400, classes=5, bits=24, flip=0.3)
    features = np.random.default_rng(0).normal(size=(400, 12)) + np.eye(5, 12)[plain.labels]
    items = {"twin": (np.arange(400) // 10 * 5 + np.arange(400) % 5).astype(str)}
    return Codes.from_bits(plain.to_bits(), plain.labels, features=features, items=items)


@pytest.mark.parametrize("groups", [None, "twin"])
def test_of_few_images_all_are_queries(codes, groups):
    found = sampled_retrieval(codes, groups=groups)
    assert (found.names, found.queries) == (("retrieval_map", "knn_accuracy", "precision_at_k"), 400)
    for by, values in (("codes", found.values), ("features", found.features)):
        options = {"groups": groups, "by": by, "bootstrap": 1}
        results = [
            retrieval_map(codes, **options),
            knn_accuracy(codes, k=10, **options),
            precision_at_k(codes, k=10, **options),
        ]
        assert values == pytest.approx([result.value for result in results], abs=1e-12)
    low, high = retrieval_map(codes, groups=groups).interval
    assert (found.low[0], found.high[0]) == (low, high)


def test_of_many_images_some_are_queries_against_all_others(codes, monkeypatch):
    monkeypatch.setattr(sampled, "PAIRS", 400 * 60)
    monkeypatch.setattr(sampled, "FEWEST", 50)
    found = sampled_retrieval(codes)
    assert found.queries == 60
    rows = np.sort(np.random.default_rng(0).choice(400, 60, replace=False))
    for by, value in (("codes", found.values[0]), ("features", found.features[0])):
        every = retrieval_map(codes, by=by, bootstrap=1).per_query
        assert value == pytest.approx(every[rows].mean(), abs=1e-12)
    assert found.left_out == "self"
    assert found.low[0] < found.values[0] < found.high[0]
    assert f"{found.queries} queries" in found.headline()


def test_features_and_several_labels_may_be_missing(codes):
    bare = sampled_retrieval(dataclasses.replace(codes, features=None))
    assert np.isnan(bare.features).all()
    assert "(no features)" in bare.headline()
    many = dataclasses.replace(codes, labels=np.eye(5, dtype=bool)[codes.labels])
    assert sampled_retrieval(many).names == ("retrieval_map", "precision_at_k")


def test_refusals(codes):
    with pytest.raises(DataError, match="found 400 codes, expected 2 or more with labels"):
        sampled_retrieval(dataclasses.replace(codes, labels=np.full(400, -1)))
    with pytest.raises(UsageError, match="queries=0: expected 1 or more"):
        sampled_retrieval(codes, queries=0)
