"""Is the code healthy? Each measure put into one plain sentence, with the limits it was judged by.

The explorer and the report say the same because both ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from codelab.core.result import Result
from codelab.core.verdict import Level, Verdict, listed, plain_reason
from codelab.measures.bit_usage import judge_balance, judge_use
from codelab.measures.block_entropy import judge_blocks
from codelab.measures.class_information import judge_classes
from codelab.measures.degrees_of_freedom import judge_freedom
from codelab.measures.pair_distances import judge_distances


def verdicts(results: Mapping[str, Result]) -> list[Verdict]:
    """A line for each of the questions that these results answer.

    Args:
        results: sections as `codelab.analyze` names them, and `pair_distances`; a section that was skipped, or is
            not there, gives a note with the reason.

    Example:
        >>> from codelab import Codes
        >>> import numpy as np
        >>> from codelab import bit_usage
        >>> coins = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 8)))
        >>> line = verdicts({"bit_usage": bit_usage(coins)})[0]
        >>> line.level, line.title, line.figure
        ('good', 'Bit balance', '1.00 bit')
    """
    judges = (
        ("bit_usage", "Bit balance", judge_balance),
        ("bit_usage", "Bits in use", judge_use),
        ("degrees_of_freedom", "Independent bits", judge_freedom),
        ("block_entropy_contiguous", "Block entropy", judge_blocks),
        ("class_information", "Class in single bits", judge_classes),
        ("pair_distances", "Class in distances", judge_distances),
    )
    lines = []
    for section, title, judge in judges:
        result = results.get(section)
        reason = "no such section" if result is None else getattr(result, "reason", None)
        if reason is not None:
            lines.append(Verdict("note", title, "", f"Not measured. {plain_reason(reason)}"))
        else:
            lines.append(judge(title, cast(Any, result), results))
    return lines


def overall(lines: list[Verdict]) -> Verdict:
    """The worst of the lines, in one sentence."""
    level: Level = next((x for x in ("bad", "watch", "good") if any(v.level == x for v in lines)), "note")
    named = [v.title.lower() for v in lines if v.level == level]
    text = {
        "good": "Nothing here looks wrong.",
        "watch": f"Worth a look: {listed(named)}.",
        "bad": f"Something is wrong: {listed(named)}.",
        "note": "Too little could be measured to say.",
    }[level]
    titles = {"good": "No fault found", "watch": "Usable, with a caveat", "bad": "Not healthy", "note": "Unknown"}
    return Verdict(level, titles[level], "", text)
