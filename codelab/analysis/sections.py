"""The registry of sections: what `analyze` measures, and how terminal, report, verdicts and explorer show each.

A new measure is one file in `codelab/measures` and one entry here; CONTRIBUTING.md shows both in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from codelab.analysis.controls import controls, judge_random, judge_shuffled
from codelab.analysis.given import Given, block_width
from codelab.analysis.section import Chart, Column, Listing, Section
from codelab.core.errors import DataError
from codelab.core.result import Result, Skipped
from codelab.core.verdict import plain_reason
from codelab.features.geometry import geometry
from codelab.measures.attribute_information import attribute_information
from codelab.measures.attribute_reuse import attribute_reuse
from codelab.measures.bit_dependence import bit_dependence
from codelab.measures.bit_reuse import bit_reuse
from codelab.measures.bit_usage import bit_usage, judge_balance, judge_use
from codelab.measures.block_entropy import Blocks, block_entropy, judge_blocks
from codelab.measures.channel import channel
from codelab.measures.class_information import class_information, judge_classes
from codelab.measures.class_log_odds import class_log_odds
from codelab.measures.code_length import code_length, total_correlation
from codelab.measures.collisions import collisions
from codelab.measures.degrees_of_freedom import degrees_of_freedom, judge_freedom
from codelab.measures.disentanglement import factors
from codelab.measures.joint_information import joint_information
from codelab.measures.pair_distances import judge_distances, pair_distances
from codelab.retrieval.oversampling import oversampling_curve
from codelab.retrieval.sampled import judge_retrieval, sampled_retrieval
from codelab.retrieval.shorter import smaller_code
from codelab.retrieval.thresholds import thresholds

if TYPE_CHECKING:
    import pandas as pd

JOINT = 4
"""Bits of the jointly informative set."""

MOST_ODDS = 1 << 15
"""Most classes times bits whose log-odds are part of the analysis."""


NEIGHBOURS = 10
"""Neighbours of the oversampling curve; fewer where there are fewer images."""

PAIRS = 50_000_000
"""Most pairs of query and image whose features are compared for it."""


def _oversampling(given: Given) -> Result:
    n, codes = len(given.codes), given.codes
    queries = max(50, min(1000, PAIRS // n))
    return oversampling_curve(
        codes, k=max(1, min(NEIGHBOURS, n // 10)), groups=given.groups, queries=queries, seed=given.seed
    )


def _blocks(given: Given, blocks: Blocks) -> Result:
    if given.parts:
        return block_entropy(given.counted(blocks), blocks=blocks, seed=given.seed)
    pairs = given.pairs if blocks == "dependent" else None
    return block_entropy(given.codes, block_width(given.codes), blocks=blocks, seed=given.seed, pairs=pairs)


def _total_correlation(given: Given) -> Result:
    pairs = given.pairs if given.groups is None else None
    return total_correlation(given.codes, pairs=pairs, groups=given.groups)


def _reuse(given: Given) -> Result:
    if given.parts:
        return bit_reuse(given.counted("classes"))  # contrasts need the features of each item
    return bit_reuse(given.codes, given.features, **given.chance)


def _log_odds(given: Given) -> Result:
    classes, bits = len(given.codes.classes), given.codes.bits
    if classes * bits > MOST_ODDS:
        raise DataError(
            f"class_log_odds: {classes} classes of {bits} bits are too many for a report, "
            f"expected at most {MOST_ODDS} in all; call codelab.class_log_odds"
        )
    return class_log_odds(given.codes, **given.chance)


BLOCKS = Chart(
    "How full blocks of bits are",
    lambda blocks: (
        f"Joint entropy of blocks of {blocks.width} bits ({blocks.estimator.capitalize()}), the plug-in "
        f"estimate as a circle. Full blocks alone do not show a rich code. {plain_reason(blocks.note)}"
    ),
)

SECTIONS = (
    Section(
        name="bit_usage",
        words="how often each bit is 1",
        measure=lambda given: bit_usage(given.grouped("bits"), groups=given.groups),
        streams=True,
        columns=(
            Column("p", "ones", "Share of images with bit = 1", "percent"),
            Column("low"),
            Column("high"),
            Column("entropy", "entropy", "Entropy in bits"),
            Column("state", "state"),
        ),
        chart=Chart(
            "How often each bit is 1",
            lambda _: "Share of ones of every bit with its 95% interval. Bits in the shaded bands are rare or dead.",
            bits=True,
        ),
        verdicts=(("Bit balance", judge_balance), ("Bits in use", judge_use)),
    ),
    Section(
        name="degrees_of_freedom",
        words="independent fair coins the code is worth",
        measure=lambda given: degrees_of_freedom(given.grouped("pairs"), groups=given.groups),
        streams=True,
        verdicts=(("Independent bits", judge_freedom),),
    ),
    Section(
        name="block_entropy_contiguous",
        words="entropy of blocks of neighbouring bits",
        measure=lambda given: _blocks(given, "contiguous"),
        streams=True,
        chart=BLOCKS,
        verdicts=(("Block entropy", judge_blocks),),
    ),
    Section(
        name="block_entropy_random",
        words="entropy of blocks of bits drawn at random",
        measure=lambda given: _blocks(given, "random"),
        streams=True,
        chart=BLOCKS,
    ),
    Section(
        name="block_entropy_dependent",
        words="entropy of blocks of the most dependent bits",
        measure=lambda given: _blocks(given, "dependent"),
        chart=BLOCKS,
    ),
    Section(
        name="code_length",
        words="bits to write a held-out code down (Chow-Liu tree)",
        measure=lambda given: code_length(given.grouped("pairs"), groups=given.groups),
        streams=True,
    ),
    Section(
        name="total_correlation",
        words="entropies of the single bits less the length of the whole code",
        measure=_total_correlation,
    ),
    Section(
        name="collisions",
        words="images that share a code",
        measure=lambda given: collisions(given.codes, seed=given.seed),
    ),
    Section(
        name="class_information",
        words="information of each bit about the class, corrected for chance",
        measure=lambda given: class_information(given.grouped("classes"), **given.chance),
        needs=("labels",),
        streams=True,
        columns=(
            Column("information", "class info", "Information about the class in bits, corrected for chance", "bar"),
            Column("plugin"),
            Column("q_value", "q", "Share of false finds among bits with this value or less; shuffled labels", "q"),
            Column("uncertainty"),
        ),
        listing=Listing(
            "the {most} bits with the most information about the class (in bits)",
            ("bit", "information", "plugin", "p_value", "q_value", "uncertainty"),
            by="information",
        ),
        chart=Chart(
            "Information of each bit about the class",
            lambda found: (
                "Mutual information of bit and class, less what chance alone gives. Grey bits do no "
                f"better than shuffled labels ({found.permutations} permutations, Benjamini-Hochberg)."
            ),
            bits=True,
        ),
        verdicts=(("Class in single bits", judge_classes),),
    ),
    Section(
        name="pair_distances",
        words="Hamming distances of pairs of one class and of two",
        measure=lambda given: pair_distances(given.codes, seed=given.seed),
        chart=Chart(
            "How far apart codes lie",
            lambda found: (
                f"Hamming distances of {found.pairs:,} random pairs. The dotted line is what bits with the "
                "same shares of ones would show if they were independent; a wider curve means fewer independent bits."
            ),
        ),
        verdicts=(("Class in distances", judge_distances),),
    ),
    Section(
        name="retrieval",
        words="mAP, k-NN accuracy and precision@k of codes and features",
        measure=lambda given: sampled_retrieval(given.codes, groups=given.groups, seed=given.seed),
        needs=("labels",),
        listing=Listing(
            "retrieval, codes beside features",
            ("measure", "codes", "low", "high", "features", "queries"),
        ),
        verdicts=(("Retrieval", judge_retrieval),),
    ),
    Section(
        name="controls",
        words="figures beside those of random directions of the same features and of shuffled codes",
        measure=lambda given: controls(given.codes, groups=given.groups, seed=given.seed),
        listing=Listing(
            "these codes beside random directions of the same features and shuffled codes (mean of 20, range)",
            (
                "figure",
                "these codes",
                "random directions",
                "shuffled codes",
                "paired difference from random directions",
            ),
            table=lambda found: found.table(),
        ),
        verdicts=(("Against shuffled codes", judge_shuffled), ("Against random directions", judge_random)),
    ),
    Section(
        name="joint_information",
        words="information of the best few bits together, on the unseen half",
        measure=lambda given: joint_information(given.codes, min(JOINT, given.codes.bits), **given.chance),
        needs=("labels",),
    ),
    Section(
        name="bit_dependence",
        words="information that pairs of bits share, corrected for chance",
        measure=lambda given: bit_dependence(given.grouped("pairs"), within=given.within, groups=given.groups),
        streams=True,
    ),
    Section(
        name="bit_reuse",
        words="in how many classes each bit varies",
        measure=_reuse,
        needs=("labels",),
        streams=True,
        columns=(Column("split", "splits", "Classes in which the bit is 1 in 20% to 80% of the images"),),
        listing=Listing(
            "the {most} bits whose contrast within a class is most alike across classes (1: the same)",
            ("bit", "consistency", "low", "high", "shared", "own", "shared_q_value", "split"),
            by="consistency",
        ),
    ),
    Section(
        name="class_log_odds",
        words="bits that a class has more often, or less, than the rest",
        measure=_log_odds,
        needs=("labels",),
    ),
    Section(
        name="smaller_code",
        words="retrieval with half of the bits, on unseen queries",
        measure=lambda given: smaller_code(
            given.codes, max(1, given.codes.bits // 2), draws=20, queries=200, groups=given.groups, seed=given.seed
        ),
        needs=("labels",),
    ),
    Section(
        name="attribute_information",
        words="information of each bit about the attribute, corrected for chance",
        measure=lambda given, attribute: attribute_information(given.codes, attribute, **given.chance),
        per_attribute=True,
    ),
    Section(
        name="attribute_reuse",
        words="whether a bit reads the attribute in the same sense in every class",
        measure=lambda given, attribute: attribute_reuse(given.codes, attribute, **given.chance),
        per_attribute=True,
    ),
    Section(
        name="factors",
        words="disentanglement of the attributes, beside shuffled ones",
        measure=lambda given: factors(given.codes, **given.chance),
        listing=Listing(
            "factors, each beside shuffled labels (mig: mutual information gap, sap: that of single-bit accuracy)",
            ("measure", "factor", "value", "control", "control_high", "p_value"),
        ),
    ),
    Section(
        name="channel",
        words="what survives from one view of an image to another",
        measure=lambda given: channel(given.codes, given.view, groups=given.groups, seed=given.seed),
        needs=("view",),
    ),
    Section(
        name="view_channels",
        words="what one change of the image does to the bits",
        measure=None,  # it needs the encoder: codelab analyze --views
        listing=Listing(
            "what one change of the image does to the bits (means over bits)",
            ("view", "flip_rate", "chance", "kappa", "information_sum"),
        ),
    ),
    Section(
        name="thresholds",
        words="bits cut at 0 beside the same logits cut at their medians",
        measure=lambda given: thresholds(given.codes, groups=given.groups, seed=given.seed),
        needs=("logits",),
        listing=Listing("thresholds: 0 beside the median of each bit", ("threshold", "entropy", "retrieval_map")),
    ),
    Section(
        name="oversampling",
        words="codes to fetch so that rescoring finds the neighbours of the features",
        measure=_oversampling,
        needs=("features",),
        listing=Listing(
            "recall of the features' neighbours among the codes fetched (random directions: mean of 5, range)",
            ("oversampling", "recall", "low", "high", "random_directions", "random_low", "random_high"),
        ),
        chart=Chart(
            "How many codes to fetch before rescoring",
            lambda found: (
                f"Share of the {found.k} images nearest by cosine of the {found.by} that are among the codes nearest "
                "by Hamming distance, exact over the order of ties; bars are 95% intervals over queries. Grey: signs "
                f"of random directions of the same features. {found.headline().partition('; ')[2]}."
            ),
        ),
    ),
    Section(
        name="geometry",
        words="effective dimensions of the features",
        measure=lambda given: geometry(given.codes, groups=given.groups),
        needs=("features",),
    ),
)
"""Every section, in the order in which they are measured and shown."""


def present(results: Mapping[str, Result]) -> Iterator[tuple[Section, Result]]:
    """Each section that was measured, with its result; those of attributes are left out."""
    for section in SECTIONS:
        result = results.get(section.name)
        if result is not None and not isinstance(result, Skipped):
            yield section, result


def bit_table(results: Mapping[str, Result]) -> pd.DataFrame | None:
    """All bits, a row each, with the columns that their sections declare; None where no such section was measured.

    The bits with the highest value in the column that is shown as a bar come first.

    Example:
        >>> from codelab import Codes, analyze
        >>> table = bit_table(analyze(Codes.from_bits([[1, 0], [0, 0]]), sections=["bit_usage"]))
        >>> table.columns.tolist(), table["state"].tolist()
        (['bit', 'p', 'low', 'high', 'entropy', 'state'], ['active', 'dead'])
    """
    frame: pd.DataFrame | None = None
    for section, result in present(results):
        if section.columns:
            own = result.to_frame()[["bit", *(column.name for column in section.columns)]]
            frame = own if frame is None else frame.merge(own, on="bit")
    bars = [column.name for section, _ in present(results) for column in section.columns if column.form == "bar"]
    if frame is None or not bars:
        return frame
    return frame.sort_values(bars, ascending=False, kind="stable").reset_index(drop=True)
