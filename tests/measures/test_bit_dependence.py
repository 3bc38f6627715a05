"""Pairs of bits, log-odds, joint information and smaller codes against oracles and known truth."""

import numpy as np
import pytest
from scipy import stats
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score, mutual_info_score
from sklearn.metrics.cluster import expected_mutual_information

from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.measures.bit_dependence import bit_dependence
from codelab.measures.class_log_odds import class_log_odds
from codelab.measures.joint_information import joint_information
from codelab.retrieval.criteria import propose_bits
from codelab.retrieval.shorter import smaller_code
from codelab.statistics.counts import ClassPairCounts, PairCounts, total
from codelab.statistics.nulls import pair_null
from tests.support import synthetic


def test_every_pair_against_the_oracles():
    codes = synthetic.prototypes(240, bits=6, classes=3, flip=0.2)
    bits = codes.to_bits().astype(int)
    found = bit_dependence(codes)
    assert found.phi == pytest.approx(np.corrcoef(bits.T))
    for a in range(6):
        for b in range(a):
            table = np.histogram2d(bits[:, a], bits[:, b], bins=2)[0].astype(int)
            plugin = mutual_info_score(bits[:, a], bits[:, b])
            mean = expected_mutual_information(table, 240)
            assert found.plugin[a, b] == pytest.approx(plugin / np.log(2))
            assert found.information[a, b] == pytest.approx((plugin - mean) / np.log(2))
            given = [mutual_info_score(*bits[codes.labels == c][:, [a, b]].T) for c in range(3)]
            assert found.conditional_plugin[a, b] == pytest.approx(np.mean(given) / np.log(2))
    assert len(found.to_frame()) == 15
    upper = np.triu_indices(6, 1)
    expected = stats.false_discovery_control(found.p_value[upper], method="by")
    assert found.dependent_q_value[upper] == pytest.approx(expected)


def test_what_bits_share_through_the_class_goes_when_it_is_given():
    codes = synthetic.prototypes(4000, bits=32, classes=6)
    found = bit_dependence(codes)
    upper = np.triu_indices(32, 1)
    assert found.information[upper].mean() > 0.02
    assert abs(found.conditional[upper].mean()) < 1e-4
    assert np.diagonal(found.conditional) == pytest.approx(np.full(32, 0.61), abs=0.04)


def test_conditional_information_of_few_images_a_class_is_corrected():
    labels = np.repeat(np.arange(200), 6)
    found = bit_dependence(Codes.from_bits(synthetic.biased_bits(1200, np.full(24, 0.3)).to_bits(), labels))
    upper = np.triu_indices(24, 1)
    assert found.conditional_plugin[upper].mean() > 0.1
    assert abs(found.conditional[upper].mean()) < 0.002


def test_counts_of_parts_give_the_same():
    codes = synthetic.prototypes(500, bits=12, classes=4)
    parts = codes[:130], codes[130:]
    whole = bit_dependence(codes)
    summed = bit_dependence(total(PairCounts.of(p) for p in parts), within=total(ClassPairCounts.of(p) for p in parts))
    assert np.array_equal(whole.q_value, summed.q_value)
    assert np.array_equal(whole.conditional, summed.conditional)


def test_more_classes_than_can_be_kept_leave_out_what_is_given_the_class():
    labels = np.arange(400) % 40_000
    codes = Codes.from_bits(synthetic.fair_bits(400, 128).to_bits(), labels, classes=[str(c) for c in range(40_000)])
    assert bit_dependence(codes).conditional is None
    with pytest.raises(DataError, match="40000 classes of 8256 pairs of bits are too many to keep"):
        ClassPairCounts.of(codes)


def test_duplicates_complements_and_clusters():
    fair = np.random.default_rng(0).integers(0, 2, (1000, 3))
    a, b, c = fair.T
    noisy = a ^ (np.random.default_rng(1).random(1000) < 0.1)
    found = bit_dependence(Codes.from_bits(np.stack([a, b, a, 1 - b, c, noisy, 0 * a], axis=1)))
    assert found.duplicates == ((0, 2),)
    assert found.complements == ((1, 3),)
    assert found.cluster.tolist() == [0, 1, 0, 1, 2, 0, 3]
    assert sorted(found.order.tolist()) == list(range(7))
    places = np.argsort(found.order)
    assert abs(places[0] - places[2]) == 1
    assert found.phi[6].tolist() == [0] * 7
    assert found.p_value[6, 0] == 1
    assert found.conditional is None


def test_xor_triples_hide_from_pairs():
    found = bit_dependence(synthetic.xor_triples(4000, 4))
    assert (found.q_value[np.triu_indices(12, 1)] > 0.01).all()


def test_false_positives_of_pairs_stay_near_five_percent():
    upper = np.triu_indices(12, 1)
    p = [bit_dependence(synthetic.biased_bits(60, np.full(12, 0.4), seed=s)).p_value[upper] for s in range(200)]
    assert 0.03 < (np.concatenate(p) < 0.05).mean() < 0.07


def test_the_chi_square_law_takes_over_where_it_agrees_with_the_exact_null():
    a, b = np.array([899, 905]), np.array([900, 900])  # either side of the border of 100 expected in the rarest cell
    both = np.array([130, 131])
    mean, p_value = pair_null(a, b, both, 8100)
    assert mean[0] == pytest.approx(mean[1], rel=1e-3)
    for i in range(2):
        table = [[both[i], a[i] - both[i]], [b[i] - both[i], 8100 - a[i] - b[i] + both[i]]]
        expected = stats.chi2_contingency(table, correction=False, lambda_=0).pvalue
        assert p_value[i] == pytest.approx(expected, rel=0.1)
        assert 1e-4 < p_value[i] < 0.01


def test_log_odds_against_scipy_and_their_coverage():
    codes = synthetic.prototypes(3000, classes=3, bits=10)
    found = class_log_odds(codes)
    bits = codes.to_bits()
    for c in range(3):
        own = codes.labels == c
        for b in range(10):
            table = np.array([[(bits[g, b] == v).sum() for v in (1, 0)] for g in (own, ~own)])
            assert found.log_odds[c, b] == pytest.approx(
                np.log(stats.contingency.odds_ratio(table + 0).statistic), abs=0.02
            )
    covered = [class_log_odds(synthetic.fair_bits(200, 20, classes=2, seed=s)) for s in range(40)]
    inside = np.mean([((f.low <= 0) & (f.high >= 0)).mean() for f in covered])
    assert 0.93 < inside < 0.97
    frame = found.to_frame()
    assert len(frame) == 30
    assert set(frame["class"]) == {"0", "1", "2"}


def test_log_odds_of_multilabel_and_constant_bits():
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], dtype=bool)
    found = class_log_odds(Codes.from_bits([[1, 1], [1, 1], [0, 1], [0, 1]], labels))
    assert found.log_odds[:, 1].tolist() == [0, 0]
    assert found.log_odds[0, 0] > 2
    assert found.p[0, 0] == 1
    with pytest.raises(DataError, match="class_log_odds: needs labels"):
        class_log_odds(Codes.from_bits(np.eye(3)))


def test_joint_information_of_bits_that_complete_each_other():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 8, 4000)
    noise = generator.integers(0, 2, (4000, 20))
    codes = Codes.from_bits(
        np.column_stack([noise, labels & 1, labels & 2, labels & 4, labels & 1]).astype(bool), labels
    )
    found = joint_information(codes, 4)
    assert set(found.bits[:3].tolist()) in ({20, 21, 22}, {21, 22, 23})
    assert found.information[:3] == pytest.approx([1, 2, 3], abs=0.02)
    assert found.plugin[3] == pytest.approx(3, abs=0.02)  # the chance taken off is that of bits that say nothing
    assert found.class_entropy == pytest.approx(3, abs=0.01)
    assert found.p_value < 1e-6


def test_joint_information_of_noise_is_zero_where_it_was_not_chosen():
    found = [joint_information(synthetic.fair_bits(200, 64, classes=5, seed=s), 3, permutations=60) for s in range(40)]
    assert np.mean([f.chosen_on[-1] for f in found]) > 0.2
    assert np.mean([f.value for f in found]) == pytest.approx(0, abs=0.015)
    assert np.mean([f.p_value < 0.05 for f in found]) < 0.15


def test_joint_information_of_an_attribute_and_refusals():
    kind = np.arange(200) % 2
    codes = Codes.from_bits(np.stack([kind, 1 - kind], axis=1), items={"kind": kind.astype(str)})
    found = joint_information(codes, 1, of="kind")
    assert found.value == pytest.approx(1, abs=0.05)
    assert found.of == "kind"
    with pytest.raises(UsageError, match="size 3: expected 1 to 2"):
        joint_information(codes, 3, of="kind")
    with pytest.raises(DataError, match="found 0 items with a value of class"):
        joint_information(codes, 1)
    with pytest.raises(DataError, match="all items of a half have one class"):
        joint_information(Codes.from_bits(np.eye(4), ["a"] * 4), 1)


def test_a_smaller_code_of_copied_bits_loses_nothing():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 16, 800)
    four = (labels[:, None] >> np.arange(4)) & 1
    four = four ^ (generator.random(four.shape) < 0.05)
    codes = Codes.from_bits(np.repeat(four, [9, 5, 3, 1], axis=1), labels)
    assert sorted(propose_bits(codes, 4)) == [0, 9, 14, 17]
    found = smaller_code(codes, 4)
    assert found.value >= found.random.max()
    assert found.value > found.full
    assert found.p_value == (1 + found.rank) / 21 < 0.2
    assert len(found.to_frame()) == 22


def test_too_few_random_subsets_give_no_p_value():
    codes = synthetic.prototypes(120, bits=16, classes=4)
    few, enough = smaller_code(codes, 8, draws=18), smaller_code(codes, 8, draws=19)
    assert np.isnan(few.p_value)
    assert "p " not in few.headline()
    assert enough.p_value >= 0.05
    assert "p " in enough.headline()


def test_of_many_images_some_are_looked_at_in_whole_groups():
    codes = synthetic.prototypes(400, bits=16, classes=4)
    found = smaller_code(codes, 8, groups=np.repeat(np.arange(200), 2), items=100, draws=2)
    assert found.queries == found.database == 50
    assert found.source.n == 400
    assert found.images == 100
    assert found.headline().endswith(", 100 images drawn")
    assert "drawn" not in smaller_code(codes, 8, draws=2).headline()
    assert (
        smaller_code(codes, 8, draws=2, items=400).random.tolist() == smaller_code(codes, 8, draws=2).random.tolist()
    )


def test_groups_stay_in_one_half_and_bad_calls_are_refused():
    codes = synthetic.prototypes(120, bits=16, classes=4)
    twins = np.repeat(np.arange(60), 2)
    found = smaller_code(codes, 8, groups=twins, draws=2, bits=range(8))
    assert found.queries == found.database == 60
    with pytest.raises(UsageError, match="found 1 different ones, expected size = 2"):
        smaller_code(codes, 2, bits=[3, 3])
    with pytest.raises(UsageError, match="size 17: expected 1 to 16"):
        smaller_code(codes, 17)
    with pytest.raises(DataError, match="too few items"):
        smaller_code(codes[:1], 2)
    with pytest.raises(DataError, match="needs labels"):
        smaller_code(synthetic.fair_bits(10, 4), 2)
    for wrong in (0, 1.5):
        with pytest.raises(UsageError, match="expected a correlation"):
            bit_dependence(codes, near=wrong)


def test_clusters_are_those_of_average_linkage():
    """A chain of bits, each like the next: single linkage would make one cluster of it, complete linkage pairs."""
    generator = np.random.default_rng(0)
    bits = np.cumsum(generator.random((4000, 24)) < 0.15, axis=1) % 2
    found = bit_dependence(Codes.from_bits(bits))
    model = AgglomerativeClustering(None, metric="precomputed", linkage="average", distance_threshold=0.5)
    expected = model.fit_predict(1 - np.abs(np.corrcoef(bits.T)))
    assert adjusted_rand_score(found.cluster, expected) == 1
    assert 2 < found.cluster.max() + 1 < 12


@pytest.mark.parametrize(("n", "a", "b", "both"), [(20, 8, 9, 6), (30, 5, 6, 3), (40, 20, 20, 14), (12, 6, 6, 0)])
def test_small_pairs_have_the_mid_p_of_the_hypergeometric_law(n, a, b, both):
    law = stats.hypergeom(n, a, b)
    values = np.arange(max(0, a + b - n), min(a, b) + 1)

    def information(x):
        table = np.array([[x, a - x], [b - x, n - a - b + x]])
        return mutual_info_score(None, None, contingency=table)

    each = np.array([information(x) for x in values])
    seen = information(both)
    more, equal = each > seen + 1e-9, np.abs(each - seen) <= 1e-9
    expected = law.pmf(values[more]).sum() + law.pmf(values[equal]).sum() / 2
    _, p_value = pair_null(np.array([a]), np.array([b]), np.array([both]), n)
    assert p_value[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("p", [np.linspace(0.3, 0.7, 12), np.linspace(0.04, 0.1, 12)])
def test_independent_bits_of_near_copies_do_not_depend(p):
    pairs, rate, information = np.triu_indices(12, 1), np.zeros(2), np.zeros(2)
    for seed in range(40):
        codes = synthetic.near_copies(60, 5, p, seed=seed)
        for row, groups in enumerate((None, "object")):
            found = bit_dependence(codes, groups=groups)
            rate[row] += (found.p_value[pairs] < 0.05).mean() / 40
            information[row] += found.value / 40
    assert rate[0] > 0.1
    assert (0.03 if p.min() > 0.2 else 0.01) <= rate[1] <= 0.07
    assert abs(information[1]) < information[0] / 4


def test_near_copies_do_not_hide_bits_that_depend():
    codes = synthetic.near_copies(60, 5, np.full(4, 0.5))
    bits = codes.to_bits()
    bits[:, 1] = bits[:, 0]
    found = bit_dependence(Codes.from_bits(bits), groups=np.repeat(np.arange(60), 5))
    assert found.q_value[0, 1] < 1e-6
    assert found.q_value[2, 3] > 0.05
    assert (found.duplicates, found.groups) == (((0, 1),), 60)
    with pytest.raises(UsageError, match="groups need the codes themselves"):
        bit_dependence(PairCounts.of(codes), groups="object")


def test_a_group_for_each_image_changes_no_pair():
    codes = synthetic.prototypes(200, bits=8, flip=0.3)
    assert bit_dependence(codes, groups=np.arange(200)).p_value == pytest.approx(bit_dependence(codes).p_value)


def test_what_near_copies_share_given_the_class():
    codes = synthetic.near_copies(200, 5, np.full(10, 0.5))
    labelled = Codes.from_bits(codes.to_bits(), np.repeat(np.arange(200) % 4, 5), items=codes.items)
    pairs = np.triu_indices(10, 1)
    plain, grouped = (bit_dependence(labelled, groups=groups).conditional[pairs].mean() for groups in (None, "object"))
    assert plain > 0.006
    assert abs(grouped) < plain / 4
