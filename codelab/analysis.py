"""Everything that can be measured on a set of codes, section by section."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from codelab.core.attributes import attribute_names
from codelab.core.codes import Codes, ContentHash
from codelab.core.errors import CodelabError, DataError, UsageError
from codelab.core.headlines import Analysis
from codelab.core.result import Result, Skipped, Source
from codelab.features.geometry import geometry
from codelab.measures.bit_dependence import bit_dependence, pairs_within
from codelab.measures.bit_reuse import attribute_reuse, bit_reuse
from codelab.measures.bit_usage import bit_usage
from codelab.measures.block_entropy import ARRANGEMENTS, Blocks, arrange_blocks, block_entropy
from codelab.measures.channel import channel
from codelab.measures.class_information import attribute_information, class_information
from codelab.measures.class_log_odds import class_log_odds
from codelab.measures.code_length import code_length, total_correlation
from codelab.measures.collisions import collisions
from codelab.measures.degrees_of_freedom import degrees_of_freedom
from codelab.measures.factors import factors
from codelab.measures.joint_information import joint_information
from codelab.measures.pair_distances import pair_distances
from codelab.retrieval.shorter import smaller_code
from codelab.statistics.counts import BitCounts, CellCounts, ClassCounts, ClassPairCounts, PairCounts

WIDTH = 8
"""Bits of a block, fewer where the code has fewer."""

JOINT = 4
"""Bits of the jointly informative set."""


PER_ATTRIBUTE = ("attribute_information", "attribute_reuse")
"""Sections that stand once for each attribute column, as `attribute_information:NAME`."""

MOST_ODDS = 1 << 15
"""Most classes times bits whose log-odds are part of the analysis."""


def analyze(
    codes: Codes,
    *,
    sections: Collection[str] | None = None,
    view: Codes | None = None,
    features: np.ndarray | None = None,
    permutations: int = 200,
    seed: int = 0,
) -> Analysis:
    """Measure all that these codes allow, or the sections asked for.

    Args:
        codes: codes `[N, B]`; labels, attribute columns and features open more sections.
        sections: names of the sections to measure, as under Returns; `attribute_information` and `attribute_reuse`
            stand for those of every attribute column. Default: all of them.
        view: codes of another view of the same images, row by row, for the section `channel`.
        features: `[N, d]` of another view of the same images, for the contrasts of `bit_reuse`; default: those of
            `view`, else of the codes.
        permutations: behind every p-value.
        seed: of all chance.

    Returns:
        Section name -> result, a dictionary that shows itself as a table of headlines; `Skipped` with its reason
        where labels, features, attributes, views or items are missing. The sections: `bit_usage`,
        `block_entropy_contiguous`, `block_entropy_random`, `block_entropy_dependent`, `degrees_of_freedom`,
        `code_length`, `total_correlation`, `collisions`, `pair_distances`, `class_information`, `joint_information`,
        `bit_dependence`, `bit_reuse`, `class_log_odds` (up to 2**15 classes times bits), `smaller_code` (half of the
        bits, against 5 random halves), for each attribute column `attribute_information:NAME` and
        `attribute_reuse:NAME`, `factors`, `channel`, `geometry`.

    Raises:
        DataError: there are no codes at all.
        UsageError: a section that does not exist.

    Example:
        >>> import numpy as np
        >>> results = analyze(Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 16))))
        >>> [name for name, result in results.items() if isinstance(result, Skipped)][:3]
        ['class_information', 'joint_information', 'bit_reuse']
        >>> results["geometry"].reason
        'geometry: these codes have no features; export them with --features'
        >>> list(analyze(Codes.from_bits([[1, 0], [0, 1]]), sections=["collisions", "bit_usage"]))
        ['bit_usage', 'collisions']
    """
    if len(codes) == 0:
        raise DataError("analyze: there are no codes in this set")
    if features is None and view is not None:
        features = view.features
    pairs = functools.cache(lambda: PairCounts.of(codes))
    chance: dict[str, Any] = {"permutations": permutations, "seed": seed}
    known: dict[str, Callable[[], Result]] = {"bit_usage": lambda: bit_usage(codes)}
    for blocks in ARRANGEMENTS:
        known[f"block_entropy_{blocks}"] = functools.partial(_blocks, codes, pairs, blocks, seed)
    known |= {
        "degrees_of_freedom": lambda: degrees_of_freedom(pairs()),
        "code_length": lambda: code_length(pairs()),
        "total_correlation": lambda: total_correlation(codes, pairs=pairs()),
        "collisions": lambda: collisions(codes, seed=seed),
        "pair_distances": lambda: pair_distances(codes, seed=seed),
        "class_information": lambda: class_information(codes, **chance),
        "joint_information": lambda: joint_information(codes, min(JOINT, codes.bits), **chance),
        "bit_dependence": lambda: bit_dependence(pairs(), within=pairs_within(codes)),
        "bit_reuse": lambda: bit_reuse(codes, features, **chance),
        "class_log_odds": lambda: _log_odds(codes),
        "smaller_code": lambda: smaller_code(codes, max(1, codes.bits // 2), draws=5, queries=200, seed=seed),
    }
    # finding the attributes reads every item column: left out where no section needs them
    wanted = sections is None or any(str(name).startswith(PER_ATTRIBUTE) for name in sections)
    for name in attribute_names(codes) if wanted else ():
        known[f"attribute_information:{name}"] = functools.partial(attribute_information, codes, name, **chance)
        known[f"attribute_reuse:{name}"] = functools.partial(attribute_reuse, codes, name, **chance)
    known |= {
        "factors": lambda: factors(codes, **chance),
        "channel": lambda: _channel(codes, view, seed),
        "geometry": lambda: geometry(codes),
    }
    return _all(known if sections is None else _chosen(known, sections))


def _chosen(known: Mapping[str, Callable[[], Result]], sections: Collection[str]) -> dict[str, Callable[[], Result]]:
    """The sections asked for, in the order of the whole analysis."""
    if isinstance(sections, str):
        raise UsageError(f"sections={sections!r}: expected a list of names, as [{sections!r}]")
    names = {*known, *PER_ATTRIBUTE}
    for name in sections:
        if name not in names:
            near = get_close_matches(str(name), sorted(names), n=1, cutoff=0.0)[0]
            raise UsageError(f"sections: there is no section {name!r}, the nearest is {near!r}")
    return {name: measure for name, measure in known.items() if name in sections or name.split(":")[0] in sections}


def analyze_parts(parts: Iterable[Codes], *, permutations: int = 200, seed: int = 0) -> Analysis:
    """The sections that follow from counts, in one pass that holds one part at a time.

    Args:
        parts: codes of the parts, as `codelab.core.files.iter_codes(path)` gives them, in order.
        permutations: behind every p-value.
        seed: of all chance.

    Returns:
        As `analyze`, with the same numbers: `bit_usage`, `block_entropy_contiguous`, `block_entropy_random`,
        `degrees_of_freedom`, `code_length`, `class_information`, `bit_dependence`, `bit_reuse` (without contrasts).

    Raises:
        DataError: there are no codes, or the parts do not fit each other.

    Example:
        >>> import numpy as np
        >>> codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 16)))
        >>> in_parts = analyze_parts([codes[:200], codes[200:]])
        >>> in_parts["degrees_of_freedom"].value == analyze(codes)["degrees_of_freedom"].value
        True
    """
    sums: dict[str, Any] = {}
    row, content, splits = 0, ContentHash(), set[str]()
    for part in parts:
        content.update(part)
        splits.update(part.splits)
        for name, make in _counts(part, row, seed).items():
            if isinstance(sums.get(name), CodelabError):
                continue
            try:
                sums[name] = make() if name not in sums else sums[name] + make()
            except CodelabError as error:  # too few items for pairs within classes, say: the rest goes on
                if row:
                    raise
                sums[name] = error
        row += len(part)
    if row == 0:
        raise DataError("analyze: there are no codes in this set")

    def of(name: str) -> Any:
        if isinstance(sums[name], CodelabError):
            raise sums[name]
        return sums[name]

    source = Source(row, part.bits, content.hexdigest(), "+".join(sorted(splits)) or "all")
    within = sums["within"]
    if isinstance(within, CodelabError) or within.n == 0:
        within = None
    found = _all(
        {
            "bit_usage": lambda: bit_usage(of("bits")),
            "block_entropy_contiguous": lambda: block_entropy(of("contiguous")),
            "block_entropy_random": lambda: block_entropy(of("random"), blocks="random", seed=seed),
            "degrees_of_freedom": lambda: degrees_of_freedom(of("pairs")),
            "code_length": lambda: code_length(of("pairs")),
            "class_information": lambda: class_information(of("classes"), permutations=permutations, seed=seed),
            "bit_dependence": lambda: bit_dependence(of("pairs"), within=within),
            "bit_reuse": lambda: bit_reuse(of("classes")),
        }
    )
    # what the results say they were made from does not depend on the cut, as the numbers do not
    return Analysis(
        {
            name: result if isinstance(result, Skipped) else dataclasses.replace(result, source=source)
            for name, result in found.items()
        }
    )


def _counts(part: Codes, row: int, seed: int) -> dict[str, Callable[[], Any]]:
    width = min(WIDTH, part.bits)
    return {
        "bits": lambda: BitCounts.of(part),
        "pairs": lambda: PairCounts.of(part, row),
        "classes": lambda: ClassCounts.of(part),
        "within": lambda: ClassPairCounts.of(part),
        "contiguous": lambda: CellCounts.of(part, arrange_blocks(part, width, "contiguous")),
        "random": lambda: CellCounts.of(part, arrange_blocks(part, width, "random", seed)),
    }


def _all(sections: Mapping[str, Callable[[], Result]]) -> Analysis:
    return Analysis({name: _measured(measure) for name, measure in sections.items()})


def _measured(measure: Callable[[], Result]) -> Result:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the result carries the same words in `note`
            return measure()
    except CodelabError as error:
        return Skipped(reason=str(error))


def _blocks(codes: Codes, pairs: Callable[[], PairCounts], blocks: Blocks, seed: int) -> Result:
    held = pairs() if blocks == "dependent" else None
    return block_entropy(codes, min(WIDTH, codes.bits), blocks=blocks, seed=seed, pairs=held)


def _log_odds(codes: Codes) -> Result:
    if len(codes.classes) * codes.bits > MOST_ODDS:
        raise DataError(
            f"class_log_odds: {len(codes.classes)} classes of {codes.bits} bits are too many for a report, "
            f"expected at most {MOST_ODDS} in all; call codelab.class_log_odds"
        )
    return class_log_odds(codes)


def _channel(codes: Codes, view: Codes | None, seed: int) -> Result:
    if view is None:
        raise DataError("channel: needs codes of another view of the same images")
    return channel(codes, view, seed=seed)
