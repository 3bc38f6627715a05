"""Rescoring: the second distance is FAISS's, the first stays, and what cannot be rescored is refused in one line."""

import faiss
import numpy as np
import pytest

from codelab import Codes, DataError, UsageError, search


def signs(n=400, bits=32, dims=12, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, dims)).astype(np.float32)
    logits = features @ rng.normal(size=(dims, bits))
    return Codes.from_logits(logits, features=features)


@pytest.mark.parametrize("by", ["features", "logits"])
def test_with_all_rows_fetched_it_is_the_search_by_cosine(by):
    codes = signs()
    found = search(codes, codes[:20], k=7, rescore=by, oversample=1000)
    vectors = np.array(getattr(codes, by), np.float32)
    faiss.normalize_L2(vectors)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    cosine, rows = index.search(vectors[:20], 7)
    assert np.array_equal(found.indices, rows)
    assert np.allclose(found.rescored, 1 - cosine, atol=1e-5)
    assert found.fetched == len(codes)


def test_only_what_the_first_search_fetched_is_rescored_and_both_distances_are_kept():
    codes = signs()
    queries, bits = codes[5:15], codes.to_bits()
    found = search(codes, queries, k=4, rescore="features", oversample=2.5)
    unit = codes.features / np.linalg.norm(codes.features, axis=1, keepdims=True)
    for q in range(10):
        hamming = (bits ^ bits[5 + q]).sum(axis=1)
        fetched = np.argsort(hamming, kind="stable")[:10]
        best = fetched[np.argsort(1 - unit[fetched] @ unit[5 + q], kind="stable")[:4]]
        assert found.indices[q].tolist() == best.tolist()
        assert found.distances[q].tolist() == hamming[best].tolist()
    assert (np.diff(found.rescored, axis=1) >= 0).all()
    assert (np.diff(found.distances, axis=1) < 0).any()  # the order is that of the second distance
    assert found.to_frame().columns.tolist() == ["query", "rank", "index", "distance", "rescored"]
    assert "rescored by cosine of features among 10" in found.headline()


def test_asymmetric_distances_can_be_rescored_too():
    codes = signs()
    found = search(codes, codes[:3], k=5, asymmetric=True, rescore="features", oversample=4)
    plain = search(codes, codes[:3], k=20, asymmetric=True)
    for q in range(3):
        place = dict(zip(plain.indices[q], plain.distances[q], strict=True))
        assert [place[row] for row in found.indices[q]] == found.distances[q].tolist()


def test_one_line_for_what_cannot_be_rescored():
    codes = signs()
    bare = Codes(codes.packed, codes.bits)
    for error, words, call in (
        (UsageError, "rescore='floats': expected", lambda: search(codes, codes[:1], rescore="floats")),
        (
            UsageError,
            "rescoring needs Codes with logits, found ndarray",
            lambda: search(codes, codes.packed, rescore="logits"),
        ),
        (
            DataError,
            "queries: rescoring by features needs their features",
            lambda: search(codes, bare, rescore="features"),
        ),
        (DataError, "database: rescoring by logits needs their logits", lambda: search(bare, codes, rescore="logits")),
        (
            UsageError,
            "oversample=0.5: expected 1 or more",
            lambda: search(codes, codes, rescore="logits", oversample=0.5),
        ),
        (UsageError, "oversample=nan", lambda: search(codes, codes, rescore="logits", oversample=float("nan"))),
        (UsageError, "rescore: goes with k", lambda: search(codes, codes, radius=3, rescore="logits")),
        (
            DataError,
            "queries: found 5 features, the database has 12",
            lambda: search(codes, signs(9, dims=5), rescore="features"),
        ),
    ):
        with pytest.raises(error, match=words.replace("(", r"\(")) as caught:
            call()
        assert "\n" not in str(caught.value)
