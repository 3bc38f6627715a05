"""One static HTML file that shares it all: it opens anywhere, without a network and without codelab."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from codelab.analysis import analyze
from codelab.core.attributes import same_thing
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError
from codelab.core.formats import ordinal, p_phrase
from codelab.core.result import Result, Skipped, plain
from codelab.core.verdict import ALPHA, counted, plain_reason
from codelab.images.cards import Card, card
from codelab.measures.bit_usage import BitUsage
from codelab.measures.block_entropy import BlockEntropy
from codelab.measures.class_information import ClassInformation, best_bits
from codelab.measures.pair_distances import PairDistances, pair_distances
from codelab.reporting.page import Table, check_page, embed, write_page
from codelab.reporting.verdict import overall, verdicts
from codelab.semantics.exemplars import exemplars
from codelab.semantics.signatures import ClassShares, class_shares

if TYPE_CHECKING:
    import pandas as pd

BEST = 6
"""Bits shown with their images."""
SHOWN = 8
"""Images on each side of a bit."""
ROWS = 64
"""Rows of the table of bits; the rest is a line that says how many."""


_TERMS = (
    "Low and high are the 95 % interval of the share of ones. Plug-in is the information as counted, before chance is "
    "taken off, and the last column is information / entropy; q is the share of false finds among the bits with this "
    "q-value or less (Benjamini-Hochberg), its p-values from the fitted tail of label permutations."
)
"""Under the table of bits."""


@dataclasses.dataclass(frozen=True)
class _Bit:
    """A bit shown with images."""

    bit: int
    rank: str
    facts: str
    sides: list[tuple[str, str, list[Card]]]
    shares: ClassShares | None


def write_report(
    codes: Codes,
    path: str | Path,
    *,
    results: Mapping[str, Result] | None = None,
    title: str = "Codes",
    extra_tables: Mapping[str, pd.DataFrame] | None = None,
    group: str | None = None,
) -> None:
    """Write what was measured on `codes` as one HTML file with figures, tables, images and provenance.

    Args:
        codes: codes `[N, B]`; with thumbnails, or paths that can be read, their images are shown.
        path: the file to write, whole or not at all.
        results: sections as `codelab.analyze` gives them; measured now where None.
        title: heading of the page.
        extra_tables: more tables, heading -> data frame, shown first.
        group: item column; of each value at most one image is shown for a bit, so that near copies do not fill the
            row. Default: `emoji`, `group` or `identity`, where there is such a column.

    Raises:
        UsageError: `path` is a folder, or does not end in `.html`.
        DataError: there are no codes at all.

    Example:
        >>> import numpy as np, tempfile
        >>> codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (300, 8)))
        >>> path = Path(tempfile.mkdtemp(), "report.html")
        >>> write_report(codes, path, title="Eight coins")
        >>> "<h1>Eight coins</h1>" in path.read_text()
        True
    """
    path = check_page(path)
    sections = dict(analyze(codes) if results is None else results)
    if "pair_distances" not in sections:
        sections["pair_distances"] = _distances(codes)
    group = group or same_thing(codes)
    lines = verdicts(sections)
    bits = _best(codes, sections, group)
    write_page(
        "report.html",
        path,
        title=title,
        subtitle=_subtitle(codes),
        answer=overall(lines),
        lines=lines,
        tables=[Table.of(name, frame) for name, frame in (extra_tables or {}).items()],
        charts=_charts(sections),
        bits=bits,
        bits_note=_bits_note(sections, codes, group, len(bits)),
        share_charts={bit.bit: embed(bit.shares.plot(most=12)) for bit in bits if bit.shares},
        bit_table=_bit_table(sections),
        skipped={name: plain_reason(r.reason) for name, r in sections.items() if isinstance(r, Skipped)},
        provenance=json.dumps(plain(_provenance(codes, sections)), indent=2, ensure_ascii=False),
        sha256=codes.sha256,
        attribution=(codes.meta.get("data") or {}).get("attribution", ""),
        version=codes.meta.get("version", ""),
    )


def _distances(codes: Codes) -> Result:
    try:
        return pair_distances(codes)
    except CodelabError as error:
        return Skipped(reason=str(error))


def _subtitle(codes: Codes) -> str:
    parts = [counted(len(codes), "image"), counted(codes.bits, "bit")]
    if codes.labelled:
        parts.append(f"{len(codes.classes)} classes{', several an image' if codes.multilabel else ''}")
    if codes.splits:
        parts.append(f"{' + '.join(codes.splits)} split")
    return " · ".join(parts)


def _charts(sections: Mapping[str, Result]) -> list[tuple[str, str, Markup]]:
    """Heading, how to read it, figure."""
    charts: list[tuple[str, str, Markup]] = []
    usage, distances = sections.get("bit_usage"), sections.get("pair_distances")
    information = sections.get("class_information")
    blocks = [sections.get(f"block_entropy_{name}") for name in ("contiguous", "random", "dependent")]
    if isinstance(usage, BitUsage):
        text = "Share of ones of every bit with its 95% interval. Bits in the shaded bands are rare or dead."
        charts.append(("How often each bit is 1", text, embed(usage.plot())))
    if isinstance(distances, PairDistances):
        text = (
            f"Hamming distances of {distances.pairs:,} random pairs. The dotted line is what bits with the same "
            "shares of ones would show if they were independent; a wider curve means fewer independent bits."
        )
        charts.append(("How far apart codes lie", text, embed(distances.plot())))
    if isinstance(information, ClassInformation):
        text = (
            "Information of each bit about the class, less what chance alone gives. Grey bits do no better than "
            f"shuffled labels ({information.permutations} permutations, Benjamini-Hochberg)."
        )
        charts.append(("What each bit says about the class", text, embed(information.plot())))
    present = [result for result in blocks if isinstance(result, BlockEntropy)]
    if present:
        text = (
            f"Joint entropy of blocks of {present[0].width} bits ({present[0].estimator.capitalize()}), the plug-in "
            "estimate as a circle. Full blocks alone do not show a rich code. " + plain_reason(present[0].note)
        )
        charts.append(("How full blocks of bits are", text, embed(present[0].plot(*present[1:]))))
    return charts


def _best(codes: Codes, sections: Mapping[str, Result], group: str | None) -> list[_Bit]:
    """The bits with the most information about the class; without labels, the most balanced ones."""
    information, usage = sections.get("class_information"), sections.get("bit_usage")
    if isinstance(information, ClassInformation):
        chosen, measure = best_bits(information, BEST), "information about the class"
    elif isinstance(usage, BitUsage):
        chosen, measure = [int(b) for b in (-usage.entropy).argsort(kind="stable")[:BEST]], "entropy"
    else:
        return []
    bits = []
    for place, bit in enumerate(chosen, start=1):
        found = exemplars(codes, bit, count=SHOWN, group=group)
        sides = [
            ("0 side", "zero", found.zero),
            ("Threshold", "threshold", found.threshold),
            ("1 side", "one", found.one),
        ]
        facts = ""
        if isinstance(usage, BitUsage):
            facts = f"{usage.p[bit]:.1%} ones, entropy {usage.entropy[bit]:.3f} bit"
        if isinstance(information, ClassInformation):
            facts += (
                f", information {information.information[bit]:.3f} bit "
                f"(plug-in {information.plugin[bit]:.3f}, {p_phrase('q', float(information.q_value[bit]))})"
            )
        bits.append(
            _Bit(
                bit,
                f"{ordinal(place)} of {codes.bits} by {measure}",
                facts,
                [(name, side, [card(codes, int(row)) for row in rows]) for name, side, rows in sides if len(rows)],
                class_shares(codes, bit) if codes.labelled else None,
            )
        )
    return bits


def _bits_note(sections: Mapping[str, Result], codes: Codes, group: str | None, count: int) -> str:
    labelled = isinstance(sections.get("class_information"), ClassInformation)
    measure = "corrected information about the class" if labelled else "entropy"
    ranked = "those with the surest logits" if codes.logits is not None else "drawn at random, for there are no logits"
    near = ", and between them stand those nearest the threshold" if codes.logits is not None else ""
    once = f", at most one for each {group}" if group else ""
    return (
        f"The first {count} of {codes.bits} bits by {measure}, ranked and shown on the same {len(codes):,} images; "
        f"the images of each side are {ranked}{once}{near}. They are for looking, not for scoring."
    )


def _bit_table(sections: Mapping[str, Result]) -> Table | None:
    usage, information = sections.get("bit_usage"), sections.get("class_information")
    if not isinstance(usage, BitUsage):
        return None
    frame = usage.to_frame()
    if isinstance(information, ClassInformation):
        columns = ["bit", "information", "plugin", "q_value", "uncertainty"]
        frame = frame.merge(information.to_frame()[columns]).sort_values("information", ascending=False, kind="stable")
    note = f"The first {ROWS} of {len(frame)} bits." if len(frame) > ROWS else ""
    if isinstance(information, ClassInformation):
        sure = int((information.q_value < ALPHA).sum())
        note = f"Most informative first; {sure} bits have q < {ALPHA}. {note} {_TERMS}"
    return Table.of("All bits" if len(frame) <= ROWS else "Bits", frame.head(ROWS), note)


def _provenance(codes: Codes, sections: Mapping[str, Result]) -> dict[str, Any]:
    """The codes' own provenance, and the single numbers of every section with the seed they were drawn by."""
    numbers = {
        name: {key: value for key, value in result.to_dict().items() if not isinstance(value, (list, dict))}
        for name, result in sections.items()
    }
    return {
        "codes": {"sha256": codes.sha256, "images": len(codes), "bits": codes.bits, **codes.meta},
        "results": numbers,
    }
