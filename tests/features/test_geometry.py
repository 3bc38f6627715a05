"""Dimensions of features against closed forms and NumPy."""

from itertools import permutations

import numpy as np
import pytest

import codelab
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.features.geometry import geometry


def test_known_spectrum():
    spectrum = np.array([8.0, 4.0, 2.0, 1.0, 1.0])
    rng = np.random.default_rng(0)
    white = np.linalg.qr(rng.normal(size=(500, 6)) - 0)[0]
    white = np.linalg.qr(np.column_stack([np.ones(500), white]))[0][:, 1:6] * np.sqrt(500)  # exact mean 0, variance 1
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    found = geometry(white * np.sqrt(spectrum) @ rotation + 3.0)
    q = spectrum / spectrum.sum()
    assert found.eigenvalues == pytest.approx(spectrum, rel=1e-6)
    truth = spectrum.sum() ** 2 / (spectrum**2).sum()
    assert found.d_eff_plugin == pytest.approx(truth)
    assert found.d_eff == pytest.approx(truth, rel=0.02)
    assert found.r_eff == pytest.approx(np.exp(-(q * np.log(q)).sum()))
    assert found.explained_variance == pytest.approx(np.cumsum(q))
    assert list(found.to_frame()["component"]) == [1, 2, 3, 4, 5]


def test_rank_me_uses_the_singular_values_uncentred():
    features = np.random.default_rng(1).normal(size=(200, 12)) @ np.diag(np.arange(1, 13)) + 1
    s = np.linalg.svd(features, compute_uv=False)
    share = s / s.sum()
    assert geometry(features).rank_me == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-4)


def test_fewer_items_than_dimensions_and_constant_dimensions():
    features = np.random.default_rng(2).normal(size=(5, 50))
    features[:, 10:] = 7.0
    found = geometry(features)
    assert found.d_eff_plugin <= 4
    assert 4 < found.d_eff <= 10
    assert found.explained_variance[-1] == pytest.approx(1)
    assert np.isfinite(found.r_eff)


def test_codes_bring_their_features():
    features = np.random.default_rng(3).normal(size=(60, 4))
    codes = Codes.from_bits(features > 0, features=features)
    assert geometry(codes).d_eff == pytest.approx(geometry(features.astype(np.float32)).d_eff)
    assert geometry(codes).source.sha256 == codes.sha256
    assert callable(codelab.geometry)


def test_torch_gives_the_same_on_any_device():
    import torch

    features = np.random.default_rng(4).normal(size=(300, 20)).astype(np.float32)
    expected = geometry(features)
    devices = ["cuda"] if torch.cuda.is_available() else ["cpu:0"]
    for device in devices:
        found = geometry(torch.from_numpy(features), device=device)
        assert found.eigenvalues == pytest.approx(expected.eigenvalues, rel=1e-9)
        assert found.rank_me == pytest.approx(expected.rank_me)
    assert geometry(torch.from_numpy(features).to(torch.bfloat16)).d_eff == pytest.approx(expected.d_eff, rel=0.01)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="torch finds no CUDA device here, expected 'cpu'"):
            geometry(features, device="cuda")


@pytest.mark.parametrize("offset", [1e4, 1e6, 1e8])
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_an_offset_costs_no_digits(offset, device):
    features = np.random.default_rng(5).normal(size=(5000, 8)) * np.arange(1, 9)
    truth, found = geometry(features), geometry(features + offset, device=device)
    assert found.d_eff == pytest.approx(truth.d_eff, rel=1e-6)
    assert found.eigenvalues == pytest.approx(truth.eigenvalues, rel=1e-6)


@pytest.mark.parametrize("device", ["gpu", "cud", "tpu:1"])
def test_an_unknown_device_is_refused_in_a_line(device):
    with pytest.raises(UsageError, match=f"^device '{device}': expected 'cpu', or 'cuda' where there is one$"):
        geometry(np.eye(4), device=device)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((9, 3)), "all 9 items have the same features"),
        (np.zeros((9, 3)), "all 9 items have the same features"),
        (np.ones((1, 3)), "found 1 items, expected at least 4"),
        (np.ones(3), r"expected numbers \[N, d\], found float64 \[3\]"),
        (np.array([[1.0, 2.0], [np.nan, 1.0], [0.0, 1.0], [1.0, 1.0]]), "row 1, column 0 is nan"),
        (np.array([["a", "b"]]), "expected numbers"),
        (Codes.from_bits(np.eye(3)), "no features; export them with --features"),
    ],
)
def test_bad_features_are_refused(features, message):
    with pytest.raises(DataError, match=message):
        geometry(features)


@pytest.mark.parametrize("n", [20, 50, 400, 4000])
@pytest.mark.parametrize("heavy", [False, True])
def test_the_effective_dimension_does_not_depend_on_the_number_of_items(n, heavy):
    generator = np.random.default_rng(n)
    scales = np.concatenate([np.full(40, 1.0), np.full(40, 0.2)])
    found = []
    for _ in range(30 if n < 400 else 4):
        x = generator.laplace(size=(n, 80)) if heavy else generator.normal(size=(n, 80))
        found.append(geometry(x * scales))
    truth = (scales**2).sum() ** 2 / (scales**4).sum()
    assert np.mean([f.d_eff for f in found]) == pytest.approx(truth, rel=0.06)
    assert np.mean([f.d_eff_plugin for f in found]) < truth * n / (n + 20)
    assert ("too low" in found[0].headline()) == (n < 800)


def test_two_unbiased_estimates_are_those_of_sums_over_different_items():
    """Both are means over all choices of four different items of products of two differences."""
    x = np.random.default_rng(0).normal(size=(6, 3)) ** 3
    square, trace = [], []
    for i, j, k, m in permutations(range(6), 4):
        a, b = x[i] - x[j], x[k] - x[m]
        square.append((a @ b) ** 2 / 4)
        trace.append((a @ a) * (b @ b) / 4)
    expected = np.mean(trace) / np.mean(square)
    assert 1 < expected < 3
    assert geometry(x).d_eff == pytest.approx(expected)


def test_near_copies_are_counted_once_in_the_note():
    """64 objects in 8 dimensions are too few for the corrected figure, however many copies each has."""
    features = np.repeat(np.random.default_rng(0).normal(size=(64, 8)), 5, axis=0).astype(np.float32)
    kinds = np.repeat(np.arange(64), 5)
    codes = Codes.from_bits(features > 0, items={"object": kinds}, features=features)
    assert geometry(codes).note == ""
    assert geometry(codes, groups="none").note == ""
    few = "fewer than 10 groups a dimension: d_eff, r_eff and RankMe are too low"
    assert geometry(codes, groups="object").note == few
    assert geometry(codes, groups=kinds).note == few
    assert geometry(codes, groups=np.arange(320)).note == ""
    assert geometry(codes[:40], groups=np.arange(40)).note == geometry(codes[:40]).note
    assert codelab.analyze(codes, sections=["geometry"], groups="object")["geometry"].note == few
    with pytest.raises(UsageError, match=r"^groups: need codes that have features, found features by themselves$"):
        geometry(features, groups=kinds)


def test_the_share_of_the_mean_cosine_distance_is_that_over_all_pairs():
    rng = np.random.default_rng(5)
    features = rng.normal(size=(60, 20)) * np.r_[9, 8, 7, np.ones(17)] + rng.normal(size=20)
    with pytest.warns(UserWarning, match=r"dimensions [0-2], [0-2], [0-2] of 20 make \d+% of the mean"):
        found = geometry(features)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    apart = sum((unit[i] - unit[j]) ** 2 for i in range(60) for j in range(60))
    assert sorted(found.dominant.tolist()) == [0, 1, 2]
    assert found.dominant_share == pytest.approx(apart[:3].sum() / apart.sum())
    assert apart.sum() / 2 == pytest.approx((1 - unit @ unit.T).sum())
    assert "mean cosine distance" in found.headline()


@pytest.mark.parametrize("dims", [3, 12, 64])
def test_even_dimensions_do_not_dominate_and_few_cannot(dims):
    features = np.random.default_rng(6).normal(size=(2000, dims))
    assert "cosine" not in geometry(features).note
    features[:, 0] *= 100  # of 12 or fewer, three are a quarter anyway
    if dims > 12:
        with pytest.warns(UserWarning, match="cosine distance"):
            assert "cosine" in geometry(features).note
    else:
        assert "cosine" not in geometry(features).note
