"""The trained coder: its loss against the definition, what it learns from one view and from two, its file."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from codelab import Codes, binarize, bit_usage, retrieval_map
from codelab.core.errors import DataError, UsageError
from codelab.core.tensors import read_tensors, write_tensors
from codelab.images.encoder import Encoder, EncoderConfig
from training.coder import HashCoder, coder_loss, fit_coder
from training.losses import coding_rate


@pytest.fixture(scope="module")
def digits():
    features, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    return features[order].astype(np.float32), labels[order]


def code_map(coder, features, labels, split=1400):
    def codes(part):
        return Codes.from_packed(coder.encode(features[part]), coder.bits, labels[part])

    return retrieval_map(codes(slice(split, None)), codes(slice(split))).value


def entropy(coder, features):
    return bit_usage(Codes.from_packed(coder.encode(features), coder.bits)).to_frame()["entropy"]


# -- the loss ---------------------------------------------------------------------------------------------------------


def test_loss_is_the_definition():
    """Mean BCE of either view against the other's bits, minus 0.1 gamma R, with PyTorch's own BCE and logdet."""
    a, b = torch.randn(2, 12, 5, generator=torch.Generator().manual_seed(0))
    n, bits = a.shape
    bce = functional.binary_cross_entropy_with_logits
    agreement = (bce(a, (b > 0).float()) + bce(b, (a > 0).float())) / 2
    rates = []
    for view in (a, b):
        unit = view / view.norm(dim=1, keepdim=True)
        rates.append(0.5 * torch.logdet(torch.eye(bits) + bits / (0.05 * n) * unit.T @ unit))
    expected = agreement - 0.1 * (1 / bits + 1 / n) * (rates[0] + rates[1]) / 2
    torch.testing.assert_close(coder_loss(torch.stack([a, b])), expected)
    torch.testing.assert_close(coding_rate(a), rates[0])


def test_bits_give_no_gradient():
    """Only the logits of the view that predicts move: the target is a constant."""
    views = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(1), requires_grad=True)
    agreement = coder_loss(views, eps2=1e30)  # so large that the rate vanishes
    (gradient,) = torch.autograd.grad(agreement, views)
    target = (views.detach().flip(0) > 0).float()
    torch.testing.assert_close(gradient, (torch.sigmoid(views.detach()) - target) / views.numel())


# -- what it learns ---------------------------------------------------------------------------------------------------


def test_one_view_and_noise_beats_what_it_started_from(digits):
    """On digits: far above the untrained coder and above random hyperplanes, over two seeds; bits stay balanced."""
    features, labels = digits
    for seed in range(2):
        trained = fit_coder(features[:1400], bits=32, epochs=20, seed=seed)
        untrained = HashCoder(64, 32, seed=seed)
        untrained.centre.copy_(trained.centre)
        untrained.spread.copy_(trained.spread)
        hyperplanes = binarize(features[:1400], 32, method="lsh", seed=seed)
        found = code_map(trained, features, labels)
        assert found > code_map(untrained, features, labels) + 0.1
        assert found > code_map(hyperplanes, features, labels) + 0.1
        assert entropy(trained, features[:1400]).min() > 0.9
        assert entropy(trained, features[1400:]).mean() > 0.9


def test_two_views_keep_what_they_share():
    """Half of the dimensions are shared by the views, half are drawn anew in each: codes must read the shared half."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(3000, 8))
    views = [np.concatenate([shared, rng.normal(size=(3000, 8))], axis=1) for _ in range(2)]
    coder = fit_coder(*views, bits=16, epochs=10, seed=0)
    one, two = (np.unpackbits(coder.encode(view), axis=1) for view in views)
    untrained = HashCoder(16, 16, seed=0)
    before = np.mean(np.unpackbits(untrained.encode(views[0]) ^ untrained.encode(views[1]), axis=1))
    assert np.mean(one != two) < 0.6 * before
    assert entropy(coder, views[0]).min() > 0.95
    weight = coder.layers[0].weight.detach().square().sum(dim=0)
    assert weight[:8].mean() > 1.2 * weight[8:].mean()


def test_balance_is_that_of_all_items(digits):
    """The final BatchNorm statistics are exact: each logit has the mean and spread of its scale and shift."""
    features, _ = digits
    coder = fit_coder(features, bits=8, epochs=2)
    logits = coder.logits(features)
    norm = coder.layers[-1]
    shift = norm.bias.detach().numpy()
    scale = (norm.weight * (norm.running_var / (norm.running_var + norm.eps)).sqrt()).detach().numpy()
    np.testing.assert_allclose(logits.mean(axis=0), shift, atol=1e-4)
    np.testing.assert_allclose(logits.std(axis=0, ddof=1), np.abs(scale), rtol=1e-4)


def test_the_scale_of_features_does_not_matter(digits):
    features, _ = digits
    plain = fit_coder(features, bits=16, epochs=2)
    scaled = fit_coder(features * 1024 + 3000, bits=16, epochs=2)
    same = plain.encode(features) == scaled.encode(features * 1024 + 3000)
    assert same.mean() > 0.99


def test_same_seed_same_coder(digits):
    features, _ = digits
    state = torch.get_rng_state()
    coders = [fit_coder(features, bits=8, epochs=2, seed=seed) for seed in (3, 3, 4)]
    assert coders[0].sha256 == coders[1].sha256 != coders[2].sha256
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's chance is used up


def test_every_source_gives_the_same_coder(digits, tmp_path):
    features, _ = digits
    np.save(tmp_path / "x.npy", features)
    column = pa.FixedSizeListArray.from_arrays(features.ravel(), 64)
    pq.write_table(pa.table({"emb": column}), tmp_path / "x.parquet")
    expected = fit_coder(features, bits=8, epochs=1).sha256
    sources = [tmp_path / "x.npy", np.load(tmp_path / "x.npy", mmap_mode="r"), tmp_path / "x.parquet"]
    for source in [*sources, Codes.from_bits(features > 8, features=features), features.astype(np.float64)]:
        coder = fit_coder(source, bits=8, epochs=1)
        assert coder.sha256 == expected
        np.testing.assert_array_equal(coder.encode(source), coder.encode(features))


def test_fewer_rows_than_a_batch(digits):
    features, _ = digits
    coder = fit_coder(features[:10], bits=4, epochs=1)
    assert np.isfinite(coder.logits(features)).all()


# -- saved and loaded -------------------------------------------------------------------------------------------------


def test_saved_and_loaded(digits, tmp_path):
    features, _ = digits
    coder = fit_coder(features, bits=12, epochs=1, seed=7, noise=0.3)
    coder.save(tmp_path / "coder.safetensors")
    loaded = HashCoder.load(tmp_path / "coder.safetensors")
    assert not loaded.training
    assert (loaded.dims, loaded.bits, loaded.seed, loaded.sha256) == (64, 12, 7, coder.sha256)
    assert (loaded.fitted["noise"], loaded.fitted["views"], loaded.fitted["rows"]) == (0.3, 1, 1797)
    np.testing.assert_array_equal(loaded.encode(features), coder.encode(features))
    np.testing.assert_array_equal(np.packbits(coder.logits(features) > 0, axis=1), coder.encode(features))


def test_files_that_are_no_coder(tmp_path):
    good, bad = tmp_path / "good.safetensors", tmp_path / "bad.safetensors"
    HashCoder(4, 3).save(good)
    with pytest.raises(UsageError, match=r"expected a name ending in \.safetensors"):
        HashCoder(4, 3).save(tmp_path / "coder.npz")
    with pytest.raises(UsageError, match="no such file"):
        HashCoder.load(tmp_path / "none.safetensors")
    bad.write_bytes(good.read_bytes()[:100])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        HashCoder.load(bad)
    Encoder(EncoderConfig(bits=4, image_size=16, width=4, hidden=8)).save(bad)
    with pytest.raises(DataError, match=r"expected .*hashcoder"):
        HashCoder.load(bad)
    header, tensors = read_tensors(good, kind="hashcoder")
    write_tensors(bad, tensors, {**header, "bits": 5})
    with pytest.raises(DataError, match=r"the tensors do not fit: misshapen layers\.2\.weight \[3, 4\] for \[5, 4\]"):
        HashCoder.load(bad)
    write_tensors(bad, tensors, {key: value for key, value in header.items() if key != "bits"})
    with pytest.raises(DataError, match="header cannot be used"):
        HashCoder.load(bad)


# -- what cannot be done ----------------------------------------------------------------------------------------------


def test_calls_that_cannot_be(digits):
    features, _ = digits
    for call, message in [
        ({"bits": 0}, "bits is 0, expected 1 or more"),
        ({"epochs": 0}, "epochs is 0, expected 1 or more"),
        ({"batch": 1}, "batch is 1, expected 2 or more"),
        ({"lr": 0.0}, "lr is 0.0, expected more than 0"),
        ({"noise": -1.0}, "noise is -1.0, expected 0 or more"),
        ({"eps2": float("nan")}, "eps2 is nan, expected more than 0"),
        ({"device": "tpu"}, "device is 'tpu', expected auto, cpu or cuda"),
    ]:
        with pytest.raises(UsageError, match=message):
            fit_coder(features, **call)
    with pytest.raises(DataError, match=r"view a is \[1797, 64\], view b \[1700, 64\]"):
        fit_coder(features, features[:1700])
    with pytest.raises(DataError, match="found 1 rows, expected at least 2"):
        fit_coder(features[:1])
    with pytest.raises(DataError, match="all 300 rows are alike"):
        fit_coder(np.ones((300, 4)))
    broken = features.copy()
    broken[1000, 9] = np.nan
    for views in [(broken,), (features, broken)]:
        with pytest.raises(DataError, match="row 1000, column 9 is nan, expected a finite number"):
            fit_coder(*views)
    coder = fit_coder(features, bits=4, epochs=1)
    with pytest.raises(DataError, match="row 1000, column 9 is nan"):
        coder.encode(broken)
    with pytest.raises(DataError, match="found 3 dimensions, this hashcoder coder takes 64"):
        coder.encode(np.eye(3))


def test_a_loss_that_runs_away_is_said(digits):
    features, _ = digits
    with pytest.raises(DataError, match=r"the loss is nan at step .*; lower lr or raise eps2"):
        fit_coder(features, bits=8, lr=1e25)
