"""The whole analysis: which sections appear, why others do not, and that parts give the same numbers."""

import dataclasses
import inspect
import json
import sys
import warnings
from itertools import pairwise

import numpy as np
import pytest

from codelab.analysis import Skipped, analyze, analyze_parts, sections
from codelab.core.codes import Codes
from codelab.core.errors import DataError, UsageError
from codelab.core.files import iter_codes
from tests.support import synthetic

CORRECTED = {
    "block_entropy_contiguous",
    "class_information",
    "joint_information",
    "bit_dependence",
    "bit_reuse",
    "channel",
    "degrees_of_freedom",
    "total_correlation",
    "factors",
}
"""Sections whose figures are estimates that correct for something."""


@pytest.fixture(scope="module")
def codes():
    planted, _ = synthetic.planted_factors(60, classes=6, noise_bits=12)
    tone = planted.to_bits()[:, 0].astype(str)
    names = [f"{i}.png" for i in range(len(planted))]
    return Codes.from_bits(
        planted.to_bits(),
        planted.labels,
        items={"tone": tone, "file": names},
        features=planted.features,
        logits=planted.to_bits() - 0.4,
    )


def test_all_sections_of_rich_codes(codes):
    results = analyze(codes, view=codes, permutations=20)
    skipped = {name: result.reason for name, result in results.items() if isinstance(result, Skipped)}
    assert skipped == {}
    assert {
        "attribute_information:tone",
        "attribute_reuse:tone",
        "factors",
        "channel",
        "class_log_odds",
        "smaller_code",
    } <= set(results)
    assert not any("file" in name for name in results)  # a name for each image is no attribute
    report = {name: result.to_dict() for name, result in results.items()}
    text = json.dumps(report, allow_nan=False)
    assert len(text) < 400_000
    assert report["bit_dependence"]["strongest"][0].keys() >= {"bit_a", "bit_b", "phi"}
    for name, result in results.items():
        assert (result.source.sha256 == codes.sha256) == (name != "channel")  # which is of two sets of codes
        assert name not in CORRECTED or len(result.to_dict()["estimator"]) > 5
        assert ("value" in result.to_dict()) == hasattr(result, "value")
        assert len(result.to_frame()) > 0


def test_bare_codes_say_why_sections_are_missing():
    results = analyze(synthetic.fair_bits(100, 10), permutations=5)
    reasons = {name: result.reason for name, result in results.items() if isinstance(result, Skipped)}
    assert reasons["class_information"] == "class_information: needs labels, and none of these codes has one"
    assert reasons["geometry"] == "geometry: these codes have no features; export them with --features"
    assert reasons["channel"] == "channel: needs codes of another view of the same images"
    assert reasons["factors"] == "factors: needs two attributes, these codes have none"
    assert "100 codes cannot fill the 256 cells" in reasons["block_entropy_contiguous"]
    assert all("\n" not in reason for reason in reasons.values())
    assert {"bit_usage", "degrees_of_freedom", "collisions", "bit_dependence"}.isdisjoint(reasons)


@pytest.mark.parametrize(
    "codes",
    [
        Codes.from_bits([[1, 0, 1]], ["cat"]),
        Codes.from_bits(np.zeros((400, 9)), np.arange(400) % 2),
        Codes.from_bits(np.ones((400, 3)), ["only"] * 400),
        Codes.from_bits(np.eye(300)[:, :8], np.eye(300, dtype=bool)[:, :5]),
        Codes.from_bits(np.random.default_rng(0).integers(0, 2, (300, 1)), features=np.ones((300, 4))),
        Codes.from_bits(np.eye(5), np.full(5, -1), classes=["a", "b"]),
    ],
    ids=["one item", "all zero", "one class", "multi-label", "one bit, constant features", "no label"],
)
def test_odd_codes_never_break_the_analysis(codes):
    results = analyze(codes, permutations=5)
    json.dumps({name: result.to_dict() for name, result in results.items()}, allow_nan=False)
    assert not isinstance(results["bit_usage"], Skipped)
    if len(codes) > 1:
        assert np.isfinite(results["bit_dependence"].phi).all()


def test_sections_asked_for_are_those_measured_and_say_the_same(codes):
    whole = analyze(codes, permutations=5)
    some = analyze(codes, sections=["geometry", "attribute_information", "bit_usage"], permutations=5)
    assert list(some) == ["bit_usage", "attribute_information:tone", "geometry"]
    assert all(result.to_dict() == whole[name].to_dict() for name, result in some.items())
    assert list(analyze(codes, sections={"attribute_reuse:tone"}, permutations=5)) == ["attribute_reuse:tone"]
    assert dict(analyze(codes, sections=())) == {}


def test_sections_left_out_cost_nothing(codes, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("measured although it was not asked for")

    for name in ("factors", "pair_distances"):
        monkeypatch.setattr(sys.modules["codelab.analysis.sections"], name, refuse)
    monkeypatch.setattr(sys.modules["codelab.analysis.analyze"], "attribute_names", refuse)
    assert list(analyze(codes, sections=["collisions"])) == ["collisions"]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (["factor"], "sections: there is no section 'factor', the nearest is 'factors'"),
        (
            ["attribute_information:tune"],
            "there is no section 'attribute_information:tune', the nearest is 'attribute_information:tone'",
        ),
        ("bit_usage", r"sections='bit_usage': expected a list of names, as \['bit_usage'\]"),
    ],
)
def test_a_section_that_does_not_exist_is_refused_by_name(codes, sections, message):
    with pytest.raises(UsageError, match=message):
        analyze(codes, sections=sections)


def test_no_codes_at_all():
    with pytest.raises(DataError, match="there are no codes in this set"):
        analyze(Codes.from_bits(np.zeros((0, 3))))
    with pytest.raises(DataError, match="there are no codes in this set"):
        analyze_parts([])


def test_parts_of_a_file_give_the_numbers_of_the_whole(codes, tmp_path):
    codes.save(tmp_path / "codes.parquet")
    whole = analyze(codes, permutations=20)
    in_parts = analyze_parts(iter_codes(tmp_path / "codes.parquet", rows=77, columns=[]), permutations=20)
    assert {name for name, result in in_parts.items() if isinstance(result, Skipped)} == set()
    for name, result in in_parts.items():
        expected, found = whole[name].to_dict(), result.to_dict()
        for field in ("seed", "contrast"):
            expected.pop(field, None), found.pop(field, None)
        assert found == expected, name
        assert result.source.sha256 == codes.sha256


def test_parts_of_multilabel_codes_leave_out_what_needs_one_label():
    labels = np.random.default_rng(0).random((600, 4)) < 0.3
    codes = Codes.from_bits(synthetic.fair_bits(600, 8).to_bits(), labels)
    results = analyze_parts([codes[:300], codes[300:]], permutations=5)
    assert results["bit_dependence"].conditional is None
    assert results["class_information"].multilabel
    assert results["bit_reuse"].reason == "bit_reuse: needs one label an image, found multi-label data"


@pytest.mark.parametrize("cuts", [(), (100,), (1, 59, 200)])
def test_the_source_of_parts_does_not_depend_on_the_cut(codes, cuts):
    edges = [0, *cuts, len(codes)]
    results = analyze_parts([codes[a:b] for a, b in pairwise(edges)], permutations=2)
    assert {(r.source.sha256, r.source.n) for r in results.values()} == {(codes.sha256, len(codes))}


def test_features_of_the_view_are_the_ones_contrasts_are_measured_in(codes):
    other = dataclasses.replace(codes, features=np.random.default_rng(3).normal(size=codes.features.shape))
    contrast = analyze(codes, view=other, permutations=5)["bit_reuse"].contrast
    assert not contrast.same_view
    assert contrast.contrast_z[0] < 10  # the shared factor is not in them
    same = analyze(codes, permutations=5)["bit_reuse"].contrast
    assert same.contrast_z[0] > 20
    assert same.consistency[0] > 0.9


def with_copies(each=5, objects=60):
    """Features and labels that mean something, and `object`, the number of the image of which each is a near copy."""
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(objects), each)
    features = rng.normal(size=(objects, 8))[number] + 0.05 * rng.normal(size=(len(number), 8))
    logits = features @ rng.normal(size=(8, 20))
    items = {"object": number, "tone": (number % 2).astype(str), "side": (number // 2 % 2).astype(str)}
    return Codes.from_logits(logits, labels=(number % 3).astype(str), items=items, features=features)


def test_groups_reach_every_measure_that_takes_them(monkeypatch):
    codes = with_copies()
    given, takes = {}, set()
    for name, measure in list(vars(sections).items()):
        if inspect.isfunction(measure) and "groups" in inspect.signature(measure).parameters:
            takes.add(name)

            def noted(*positional, name=name, measure=measure, **named):
                given.setdefault(name, []).append(named.get("groups"))
                return measure(*positional, **named)

            monkeypatch.setattr(sections, name, noted)
    results = analyze(codes, groups="object", view=codes, permutations=5)
    assert takes == set(given) >= {"smaller_code"}
    assert given == {name: ["object"] * len(groups) for name, groups in given.items()}
    assert not any(name.endswith(":object") for name in results)  # the groups are no attribute of the images
    assert not [name for name, result in results.items() if "groups need the codes" in str(result)]


def test_one_value_an_image_is_the_same_as_a_column():
    codes = with_copies()
    options = {"sections": ["smaller_code", "attribute_information"], "permutations": 5}
    by_name = analyze(codes, groups="object", **options)
    by_value = analyze(codes, groups=codes.items["object"].to_numpy(), **options)
    for name in by_name:
        assert by_name[name].to_dict() == by_value[name].to_dict()
    for groups, message in (("objects", "these codes have object, tone, side"), ([1, 2], "found 2 values")):
        with pytest.raises(UsageError, match=message):
            analyze(codes, groups=groups)


def test_codes_that_look_grouped_are_warned_of_in_one_line():
    bits = np.repeat(np.random.default_rng(0).integers(0, 2, (100, 64)), 5, axis=0)
    codes = Codes.from_bits(bits, items={"frame": np.repeat(np.arange(100), 5)})
    only = {"sections": ["collisions"]}
    hint = "name the column that says which by groups= \\(--group\\), or say groups='none' if all images differ$"
    with pytest.warns(UserWarning, match=f"^near copies count .* 100% of the images .*; {hint}") as found:
        analyze(codes, **only)
    with pytest.warns(UserWarning, match="100% of the images"):
        analyze_parts([codes[:300], codes[300:]], permutations=2)
    assert len(found) == 1
    assert found[0].filename == __file__
    assert "\n" not in str(found[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        analyze(codes, groups="frame", **only)
        analyze(codes, groups="none", **only)
        analyze(codes[::5], **only)
        analyze_parts([codes], groups="none", permutations=2)


def test_parts_cannot_have_groups():
    with pytest.raises(UsageError, match=r"analyze_parts: groups need all codes at once, .* found 'a'"):
        analyze_parts([Codes.from_bits(np.eye(4))], groups="a")


def test_each_section_is_handed_over_as_it_is_measured(codes):
    seen = []
    found = analyze(codes, sections=["collisions", "bit_usage"], each=lambda name, result: seen.append((name, result)))
    assert seen == list(found.items())
    streamed = []
    parts = analyze_parts([codes[:100], codes[100:]], each=lambda name, result: streamed.append((name, result)))
    assert streamed == list(parts.items())


def test_class_figure_of_the_controls_is_the_mean_information(codes):
    from codelab.analysis.figures import NAMED, Sample
    from codelab.measures.class_information import class_information

    figure = NAMED["class_information"].measure(Sample.of(codes, None, 0))
    assert figure == pytest.approx(class_information(codes).information.mean(), abs=1e-12)
