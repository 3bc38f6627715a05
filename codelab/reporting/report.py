"""One static HTML file that shares it all: it opens anywhere, without a network and without codelab."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codelab.analysis import analyze
from codelab.analysis.controls import MEANING, Controls
from codelab.analysis.near_copies import unnamed_copies, warn_of_copies
from codelab.analysis.sections import bit_table
from codelab.core.attributes import NO_GROUPS, check_groups, same_thing
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.formats import ordinal, p_phrase
from codelab.core.result import Result, Skipped, only, plain
from codelab.core.verdict import ALPHA, counted, plain_reason
from codelab.images.cards import Card, attribution, card
from codelab.measures.bit_usage import BitUsage
from codelab.measures.class_information import ClassInformation, best_bits
from codelab.reporting.charts import drawings
from codelab.reporting.meaning import meaning as measured_meaning
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
    "taken off, and the share of its entropy is information / entropy; q is the share of false finds among the bits "
    "with this q-value or less (Benjamini-Hochberg). Its p-values are exact or count label permutations; the smallest "
    "may come from a tail fitted to these."
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
    groups: str | None = None,
    pictures: str | Path | None = None,
    meaning: bool = True,
) -> None:
    """Write what was measured on `codes` as one HTML file with figures, tables, images and provenance.

    Args:
        codes: codes `[N, B]`; with thumbnails, or paths into `pictures`, their images are shown.
        path: the file to write, whole or not at all.
        results: sections as `codelab.analyze` gives them; measured now where None.
        title: heading of the page.
        extra_tables: more tables, heading -> data frame, shown first.
        groups: item column of near copies, as in `codelab.analyze`; at most one image of each value is shown for a
            bit, so that they do not fill the row. `none`: all images differ. Default: the rows go by `emoji`, `group`
            or `identity`, where there is such a column, and the measures by none.
        pictures: the only folder whose image files are shown where there is no thumbnail. Default: none is opened, as
            the paths of a codes file from somebody else may name private pictures.
        meaning: also what bits mean: names, formulas, read-outs, signatures, and a map beside its control. It takes
            seconds to minutes.

    Raises:
        UsageError: `path` is a folder, or does not end in `.html`; `groups` is no column that groups images.
        DataError: there are no codes at all.

    Example:
        >>> import numpy as np, tempfile
        >>> codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (300, 8)))
        >>> path = Path(tempfile.mkdtemp(), "report.html")
        >>> write_report(codes, path, title="Eight coins")
        >>> "<h1>Eight coins</h1>" in path.read_text()
        True
    """
    check_codes("codes", codes)
    path = check_page(path)
    if groups is not None and not isinstance(groups, str):
        raise UsageError(f"write_report: groups is a {type(groups).__name__}, expected the name of an item column")
    check_groups(codes, groups)
    copies = unnamed_copies(codes) if groups is None else ""
    if results is None:
        warn_of_copies(copies, stacklevel=2)
        results = analyze(codes, groups=groups or NO_GROUPS)
    sections = dict(results)
    if "pair_distances" not in sections:
        sections |= analyze(codes, sections=["pair_distances"], groups=groups or NO_GROUPS)
    group = None if groups == NO_GROUPS else groups or same_thing(codes)
    lines = verdicts(sections)
    bits = _best(codes, sections, group, None if pictures is None else Path(pictures))
    write_page(
        "report.html",
        path,
        title=title,
        subtitle=_subtitle(codes, groups, copies),
        answer=overall(lines),
        lines=lines,
        controls=_controls(sections),
        tables=[Table.of(name, frame) for name, frame in (extra_tables or {}).items()],
        charts=[(d.chart.title, d.text, embed(d.figure)) for d in drawings(sections) if d.figure is not None],
        meaning=_meaning(codes, group) if meaning else None,
        bits=bits,
        bits_note=_bits_note(sections, codes, group, len(bits)),
        share_charts={bit.bit: embed(bit.shares.plot(most=12)) for bit in bits if bit.shares},
        bit_table=_bit_table(sections),
        skipped={name: plain_reason(r.reason) for name, r in sections.items() if isinstance(r, Skipped)},
        provenance=json.dumps(plain(_provenance(codes, sections)), indent=2, ensure_ascii=False),
        sha256=codes.sha256,
        attribution=attribution(codes),
        version=codes.meta.get("version", ""),
    )


def _meaning(codes: Codes, group: str | None) -> dict[str, Any]:
    """The section on meaning as the template takes it."""
    found = measured_meaning(codes, group)
    return {
        "tables": found.tables,
        "charts": [(heading, text, embed(figure)) for heading, text, figure in found.figures],
        "missing": found.missing,
        "sampled": found.sampled,
    }


def _subtitle(codes: Codes, groups: str | None, copies: str) -> str:
    parts = [counted(len(codes), "image"), counted(codes.bits, "bit")]
    if codes.labelled:
        parts.append(f"{len(codes.classes)} classes{', several an image' if codes.multilabel else ''}")
    if codes.splits:
        parts.append(f"{' + '.join(codes.splits)} split")
    if groups not in (None, NO_GROUPS):
        parts.append(f"near copies share one {groups}")
    elif copies:
        parts.append(f"near copies count as independent images: {copies}")
    return " · ".join(parts)


def _best(codes: Codes, sections: Mapping[str, Result], group: str | None, pictures: Path | None) -> list[_Bit]:
    """The bits with the most information about the class; without labels, the most balanced ones."""
    information, usage = only(ClassInformation, sections), only(BitUsage, sections)
    if information is not None:
        chosen, measure = best_bits(information, BEST), "information about the class"
    elif usage is not None:
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
        if usage is not None:
            facts = f"{usage.p[bit]:.1%} ones, entropy {usage.entropy[bit]:.3f} bit"
        if information is not None:
            facts += (
                f", information {information.information[bit]:.3f} bit "
                f"(plug-in {information.plugin[bit]:.3f}, {p_phrase('q', float(information.q_value[bit]))})"
            )
        bits.append(
            _Bit(
                bit,
                f"{ordinal(place)} of {codes.bits} by {measure}",
                facts,
                [
                    (name, side, [card(codes, int(row), pictures) for row in rows])
                    for name, side, rows in sides
                    if len(rows)
                ],
                class_shares(codes, bit) if codes.labelled else None,
            )
        )
    return bits


def _bits_note(sections: Mapping[str, Result], codes: Codes, group: str | None, count: int) -> str:
    labelled = only(ClassInformation, sections) is not None
    measure = "corrected information about the class" if labelled else "entropy"
    ranked = "those with the surest logits" if codes.logits is not None else "drawn at random, as there are no logits"
    near = ", and between them stand those nearest the threshold" if codes.logits is not None else ""
    once = f", at most one for each {group}" if group else ""
    return (
        f"The first {count} of {codes.bits} bits by {measure}, ranked and shown on the same {len(codes):,} images; "
        f"the images of each side are {ranked}{once}{near}. They are for looking, not for scoring."
    )


def _bit_table(sections: Mapping[str, Result]) -> Table | None:
    """The table of all bits, its first rows."""
    frame = bit_table(sections)
    if frame is None:
        return None
    note = f"The first {ROWS} of {len(frame)} bits." if len(frame) > ROWS else ""
    information = only(ClassInformation, sections)
    if information is not None:
        sure = int((information.q_value < ALPHA).sum())
        note = f"Most informative first; {sure} bits have q < {ALPHA}. {note} {_TERMS}"
    return Table.of("All bits" if len(frame) <= ROWS else "Bits", frame.head(ROWS), note)


def _controls(sections: Mapping[str, Result]) -> Table | None:
    """The figures of the verdicts beside those of random directions and of shuffled codes."""
    found = only(Controls, sections)
    return None if found is None else Table.of(MEANING, found.table(), found.words())


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
