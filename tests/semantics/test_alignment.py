"""Alignment against scikit-learn and planted truth; each score it ranks by falls where labels are damaged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, jaccard_score, matthews_corrcoef, roc_auc_score

from codelab import Codes, DataError, UsageError, align_attributes
from codelab.semantics.alignment import agreement
from codelab.semantics.targets import targets


def planted(n=400, *, bits=10, seed=0, copies=1):
    """Things with a tone, a shape and a size; bit 0 is not dark, bit 1 is round in 9 of 10, the rest are coins."""
    rng = np.random.default_rng(seed)
    tone, shape = rng.integers(0, 3, n), rng.integers(0, 2, n)
    code = rng.integers(0, 2, (n, bits))
    code[:, 0] = tone != 0
    code[:, 1] = np.where(rng.random(n) < 0.1, 1 - shape, shape)
    rows = np.repeat(np.arange(n), copies)
    items = {
        "tone": np.array(["dark", "mid", "light"])[tone][rows],
        "shape": np.array(["square", "round"])[shape][rows],
        "thing": [f"t{t}" for t in rows],
        "image.brightness": rng.random(n)[rows],
    }
    logits = (2 * code - 1) * (0.1 + rng.random((n, bits)))
    return Codes.from_logits(logits[rows], items=items)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
@settings(deadline=None)
def test_the_scores_are_those_of_scikit_learn(pairs):
    a, b = (np.array(column) for column in zip(*pairs, strict=True))
    found = agreement((a & b).sum(), a.sum(), b.sum(), len(a))
    if a.all() or b.all() or not (a.any() and b.any()):
        assert found.phi == found.iou == found.f1 == found.information == 0
        return
    assert found.phi == pytest.approx(matthews_corrcoef(b, a), abs=1e-9)
    assert found.iou == pytest.approx(jaccard_score(b, a))
    assert found.f1 == pytest.approx(f1_score(b, a))
    assert 0 <= found.information <= 1


@pytest.mark.parametrize("prevalence", [0.499, 0.1, 0.01, 0.001, 0.0001])
def test_missing_and_extra_labels_cost_every_score_that_ranks(prevalence):
    """An ideal bit against half of its labels, and against its labels doubled by wrong ones."""
    n = 2_000_000
    ones = round(prevalence * n)
    extra = min(2 * ones, n - 1)
    found = agreement(np.array([ones, ones // 2, ones]), ones, np.array([ones, ones // 2, extra]), n)
    for name in ("phi", "iou", "f1", "information"):
        whole, missing, more = getattr(found, name)
        assert whole == pytest.approx(1)
        assert missing < whole - 0.001
        assert more < whole - 0.001


def test_precision_and_recall_see_extra_labels_of_rare_things():
    """They cannot where nearly all images have the label, so nothing is chosen by them."""
    first = np.arange(100_000)
    areas = [average_precision_score(first < has, first < 1000) for has in (1000, 500, 2000)]
    assert areas[1] < areas[0] - 0.001
    assert areas[2] < areas[0] - 0.001


def test_planted_questions_are_found_and_nothing_else():
    found = align_attributes(planted(copies=3), groups="thing")
    assert found.target[:2].tolist() == ["tone = dark", "shape = round"] or found.target[1] == "shape = square"
    assert (found.side[0], found.phi[0], found.iou[0], found.auprc[0]) == (0, 1, 1, 1)
    assert found.phi[1] == pytest.approx(0.8, abs=0.1)
    assert (found.p_value < 0.05).tolist() == [True, True] + [False] * 8


def test_figures_are_on_the_half_that_did_not_choose():
    codes = planted()
    found = align_attributes(codes, ["shape", "tone"], seed=3)
    asked = targets(codes, ["shape", "tone"])
    order = np.random.default_rng(3).permutation(len(codes))
    score = np.setdiff1d(order, order[: len(codes) // 2])
    for b in range(codes.bits):
        has = asked.has[score, asked.names.index(found.target[b])]
        bit = codes.to_bits()[score, b] == found.side[b]
        sure = codes.logits[score, b].astype(float) * (1 if found.side[b] else -1)
        assert found.phi[b] == pytest.approx(matthews_corrcoef(has, bit), abs=1e-6)
        assert found.auprc[b] == pytest.approx(average_precision_score(has, sure))
        assert found.auc[b] == pytest.approx(roc_auc_score(has, sure))
        assert found.prevalence[b] == has.mean()
    assert found.n_scored == len(score)


def test_an_error_for_all_bits_and_questions_together():
    """Of codes without meaning, five in a hundred have a bit with p < 0.05, with near copies too."""
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rows = np.repeat(np.arange(40), 5)
        items = {"tone": rng.integers(0, 3, 40).astype(str)[rows], "thing": rows.astype(str)}
        codes = Codes.from_bits(rng.integers(0, 2, (40, 12))[rows], items=items)
        found.append(
            (align_attributes(codes, ["tone"], groups="thing", permutations=60, seed=seed).p_value < 0.05).any()
        )
    assert np.mean(found) < 0.13


def test_random_directions_stand_beside():
    codes = planted()
    features = np.random.default_rng(0).normal(size=(len(codes), 6)).astype(np.float32)
    found = align_attributes(Codes.from_logits(codes.logits, items=codes.items, features=features))
    assert found.random_phi.shape == (10,)
    assert found.random_phi.max() < 0.4
    assert "random directions at best" in repr(found)
    assert align_attributes(codes).random_phi.size == 0


def test_questions():
    items = {
        "tone": ["a", "b", None, "a", "b", ""] * 5,
        "image.hue": [0.1, 0.2, 0.3, 0.4, 0.5, None] * 5,
        "id": range(30),
    }
    codes = Codes.from_bits(np.zeros((30, 2)), labels=[0, 1, 1, 1, 1, 1] * 5, classes=("cat", "dog"), items=items)
    found = targets(codes)
    assert found.names[:4] == ("class = cat", "class = dog", "tone = a", "tone = b")
    assert all(name.startswith("hue above") for name in found.names[4:])
    assert found.has[:, 0].tolist() == [True, False, False, False, False, False] * 5
    assert found.has[:, 3].tolist() == [False, True, False, False, True, False] * 5


def test_what_cannot_be_is_one_line():
    with pytest.raises(DataError, match="nothing to compare bits with"):
        align_attributes(Codes.from_bits(np.eye(20)))
    items = {"one": ["x"] * 20, "each": [f"v{i}" for i in range(20)]}
    with pytest.raises(DataError, match="nothing to compare bits with"):
        align_attributes(Codes.from_bits(np.eye(20), items=items), ["one", "each"])
    assert align_attributes(planted(20)).auprc.shape == (10,)
    bits = Codes.from_bits(np.eye(40)[:, :3], items={"tone": ["a", "b"] * 20})
    assert np.isnan(align_attributes(bits).auprc).all()


NAMES = ("ant", "bee", "cat", "cow", "elm", "fir", "oak", "yew")
KINDS = ("insect", "insect", "mammal", "mammal", "leafy", "needles", "leafy", "needles")
GROUP_OF = dict(zip(NAMES, KINDS, strict=True))


class TestClassGroups:
    """Eight classes in four groups; bit 0 is one group, bit 1 one class, the rest are coins."""

    def codes(self, seed=0, *, null=False):
        rng = np.random.default_rng(seed)
        labels = np.repeat(rng.permutation(np.resize(np.arange(8), 160)), 2)  # two near copies of each image
        code = rng.integers(0, 2, (160, 8)).repeat(2, axis=0)
        if not null:
            code[:, 0], code[:, 1] = (labels == 2) | (labels == 3), labels == 4
        items = {"kind": np.array(KINDS)[labels], "thing": [f"t{i // 2}" for i in range(320)]}
        return Codes.from_bits(code, labels, classes=NAMES, items=items)

    def test_a_bit_of_a_group_of_classes_is_found_and_one_of_a_class_stays_that(self):
        found = align_attributes(self.codes(), ["class"], class_groups=GROUP_OF, groups="thing")
        assert found.target[:2].tolist() == ["class group = mammal", "class = elm"]
        assert found.phi[:2].tolist() == [1, 1]
        assert (found.p_value < 0.05).tolist() == [True, True] + [False] * 6
        without = align_attributes(self.codes(), ["class"], groups="thing")
        assert without.phi[0] < 0.8  # half of the group is one class

    def test_a_dict_a_list_and_a_column_are_one(self):
        codes = self.codes()
        ways = (GROUP_OF, list(KINDS), np.array(KINDS), "kind")
        first, *others = (targets(codes, ["class"], class_groups=way) for way in ways)
        assert first.names[8:] == tuple(f"class group = {name}" for name in ("insect", "mammal", "leafy", "needles"))
        for other in others:
            assert other.names == first.names
            assert (other.has == first.has).all()
        kind = targets(codes, ["kind"])
        for place, name in enumerate(first.names[8:], 8):
            same = kind.has[:, kind.names.index(name.replace("class group", "kind"))]
            assert (first.has[:, place] == same).all()

    def test_groups_may_overlap_and_leave_classes_out(self):
        codes = self.codes()
        found = targets(codes, [], class_groups={"cat": ["mammal", "pet"], "cow": "mammal", "elm": None, "fir": ""})
        assert found.names == ("class group = mammal", "class group = pet")
        assert found.has.sum(axis=0).tolist() == [80, 40]

    def test_classes_of_images_with_several(self):
        rng = np.random.default_rng(0)
        has = rng.random((60, 3)) < 0.3
        codes = Codes.from_bits(np.zeros((60, 1)), has, classes=("cat", "dog", "elm"))
        found = targets(codes, [], class_groups={"cat": "pet", "dog": "pet"})
        assert (found.has[:, 0] == has[:, :2].any(axis=1)).all()

    def test_groups_pay_for_themselves(self):
        """With groups tried too, five in a hundred codes without meaning have a bit with p < 0.05."""
        options = {"class_groups": GROUP_OF, "groups": "thing", "permutations": 60}
        samples = (
            align_attributes(self.codes(seed, null=True), ["class"], seed=seed, **options) for seed in range(40)
        )
        found = [sample.p_value.min() for sample in samples]
        assert np.mean(np.array(found) < 0.05) < 0.13

    @pytest.mark.parametrize(
        ("groups", "words"),
        [
            ({"cta": "pet"}, "class_groups: 'cta' is no class; these codes have ant, bee, "),
            (["pet"], "class_groups: found 1 names, expected one for each of 8 classes"),
            (3, "class_groups: found 3, expected one for each of 8 classes"),
            ("thing", "class_groups='thing': class 'ant' has two values there, expected one in each class"),
            ("hue", "attribute 'hue': these codes have kind, thing"),
        ],
    )
    def test_what_does_not_fit_is_one_line(self, groups, words):
        with pytest.raises(UsageError, match=f"^{words}"):
            align_attributes(self.codes(), class_groups=groups)

    def test_codes_without_classes_are_one_line(self):
        with pytest.raises(UsageError, match=r"^class_groups: these codes have no classes to group"):
            align_attributes(planted(), class_groups={"cat": "pet"})
