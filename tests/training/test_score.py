"""The evaluation while training goes on: the library's measures of the teacher, and None for what is not there."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from codelab import DataError, UsageError
from codelab.core.codes import Codes
from codelab.features.geometry import geometry
from codelab.images.encoder import Encoder, EncoderConfig
from codelab.measures.bit_usage import bit_usage
from codelab.measures.block_entropy import block_entropy
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.retrieval.measures import knn_accuracy, retrieval_map
from tests.support.training_runs import TINY, drawing, image_set
from training.crops import augment, uniforms, views
from training.data import Data
from training.loop import fit
from training.parts import parts
from training.score import read_held, score
from training.trainer import Run

FIGURES = (
    *("entropy", "dof", "block_entropy", "agreement", "kappa", "code_map", "feature_map", "code_knn", "feature_knn"),
    *("d_eff", "r_eff"),
)


def held_out(images, config):
    """What a run of this config on these images evaluates on."""
    found = parts(config, images)
    return None if found.held is None else read_held(found.held, found.config)


@pytest.fixture(scope="module")
def encoder():
    """One whose bits are balanced."""
    return Run(TINY, Data(image_set(300), TINY, torch.device("cpu"), show=False)).product({})


def labelled(n, **columns):
    images = image_set(n)
    items = images.items
    for name, values in columns.items():
        items = items.append_column(name, pa.array(values))
    labels = np.array([np.random.default_rng(i).integers(1, 7) % 2 for i in range(n)], np.int32)
    return dataclasses.replace(images, items=items, labels=labels, classes=("a", "b"))


class TestScore:
    def test_is_what_the_library_measures(self, encoder):
        held = held_out(labelled(300), TINY)
        found = score(encoder, held, views(TINY), seed=1, epoch=2)
        features, logits = encoder.encode(held.whole)
        codes = Codes.from_bits(logits > 0, labels=held.labels, classes=held.classes, features=features)
        options = {"exclude_self": True, "average": "class"}
        expected = {
            "entropy": bit_usage(codes).value,
            "dof": degrees_of_freedom(codes).value,
            "block_entropy": block_entropy(codes).value,
            "code_map": retrieval_map(codes, by="codes", **options).value,
            "feature_map": retrieval_map(codes, by="features", **options).value,
            "code_knn": knn_accuracy(codes, k=10, by="codes", **options).value,
            "feature_knn": knn_accuracy(codes, k=10, by="features", **options).value,
            "d_eff": geometry(features).d_eff,
            "r_eff": geometry(features).r_eff,
        }
        for name, value in expected.items():
            assert found[name] == pytest.approx(value, rel=1e-6), name

    def test_agreement_is_between_two_views(self, encoder):
        held = held_out(labelled(200), TINY)
        found = score(encoder, held, views(TINY), seed=1, epoch=2)
        a, b = (
            encoder.encode(encoder.normalise(augment(held.pixels, view, uniforms(1, 2, torch.arange(200), v))))[1] > 0
            for v, view in enumerate(views(TINY)[:2])
        )
        assert found["agreement"] == pytest.approx((a == b).mean())
        one = score(encoder, held, [views(TINY)[0]] * 2, seed=1, epoch=2)
        assert found["kappa"] == pytest.approx((found["agreement"] - _chance(a, b)) / (1 - _chance(a, b)), rel=1e-6)
        assert one["kappa"] < 1  # the two views draw apart even where they are of one kind

    def test_kappa_of_one_bit_is_cohen_s(self):
        from training.score import _kappa

        rng = np.random.default_rng(0)
        a = rng.random((400, 1)) < 0.3
        b = np.where(rng.random((400, 1)) < 0.8, a, ~a)
        assert _kappa(a, b) == pytest.approx(cohen_kappa_score(a.ravel(), b.ravel()))
        assert _kappa(np.ones((9, 2), bool), np.ones((9, 2), bool)) is None

    def test_near_copies_are_left_out_of_a_ranking(self, encoder):
        doubled = [i // 2 for i in range(200)]
        images = labelled(200, twin=doubled)
        images = dataclasses.replace(images, labels=images.labels[doubled], read=lambda i: drawing(i // 2))
        plain = score(encoder, held_out(images, TINY), views(TINY))
        apart = score(encoder, held_out(images, dataclasses.replace(TINY, evaluate_group="twin")), views(TINY))
        assert apart["code_map"] < plain["code_map"]

    def test_without_labels_there_is_no_retrieval_and_all_else_is_there(self, encoder):
        found = score(encoder, held_out(image_set(300), TINY), views(TINY))
        missing = {name for name in FIGURES if found[name] is None}
        assert missing == {"code_map", "feature_map", "code_knn", "feature_knn"}

    @pytest.mark.parametrize("n", [2, 5, 20])
    def test_with_few_images_it_says_what_it_can(self, encoder, n):
        found = score(encoder, held_out(labelled(n), TINY), views(TINY))
        assert set(FIGURES) < set(found)
        assert found["block_entropy"] is None
        assert found["d_eff"] is None if n < 4 else found["d_eff"] > 0

    def test_short_codes(self):
        encoder = Encoder(EncoderConfig(width=4, bits=3, hidden=8, image_size=16))
        assert score(encoder, held_out(labelled(200), TINY), views(TINY))["block_entropy"] is not None


def _chance(a, b):
    p, q = a.mean(0), b.mean(0)
    return (p * q + (1 - p) * (1 - q)).mean()


class TestHeldOut:
    def test_is_an_even_sample(self):
        held = held_out(labelled(100), dataclasses.replace(TINY, evaluate_images=25))
        assert len(held.whole) == len(held.labels) == 25
        whole = held_out(labelled(100), TINY)
        assert torch.equal(held.whole[-1], whole.whole[-1])

    def test_never_where_the_config_says_so(self):
        assert held_out(labelled(40), dataclasses.replace(TINY, evaluate_every=0)) is None

    def test_a_column_that_is_not_there(self):
        with pytest.raises(UsageError, match="no column 'emoji', which evaluate_group names; found id, path"):
            held_out(labelled(40), dataclasses.replace(TINY, evaluate_group="emoji"))

    def test_an_unreadable_image(self):
        broken = dataclasses.replace(labelled(40), read=lambda i: b"" if i == 3 else drawing(i))
        with pytest.raises(DataError, match=r"drawing 3: not a readable image.*skip_bad"):
            held_out(broken, TINY)
        held = held_out(broken, dataclasses.replace(TINY, skip_bad=True))
        assert len(held.whole) == len(held.labels) == 39
        assert list(held.unreadable) == ["drawing 3"]

    def test_an_unreadable_image_is_listed(self, tmp_path):
        broken = dataclasses.replace(labelled(100), read=lambda i: b"" if i % 10 == 3 else drawing(i))
        config = dataclasses.replace(TINY, skip_bad=True, epochs=1, evaluate_every=1, run=str(tmp_path / "run"))
        listed = (fit(config, images=broken, show=False) / "unreadable.txt").read_text().splitlines()
        assert {line.split(":")[0] for line in listed} == {f"drawing {i}" for i in range(3, 100, 10)}

    def test_a_run_writes_every_figure(self, tmp_path):
        config = dataclasses.replace(TINY, epochs=2, reset_every=0, evaluate_every=1, run=str(tmp_path / "run"))
        run = fit(config, images=labelled(300), show=False)
        rows = [json.loads(line) for line in (run / "evaluation.jsonl").read_text().splitlines()]
        assert [row["epoch"] for row in rows] == [1, 2]
        for row in rows:
            assert all(isinstance(row[name], float) for name in FIGURES)
