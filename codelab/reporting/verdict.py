"""Is the code healthy? One line for each question that a section answers, in report, explorer and terminal alike."""

from __future__ import annotations

from collections.abc import Mapping

from codelab.analysis.sections import SECTIONS
from codelab.core.result import Result, Skipped
from codelab.core.verdict import Level, Verdict, listed, plain_reason


def verdicts(results: Mapping[str, Result]) -> list[Verdict]:
    """A line for each of the questions that these results answer.

    Args:
        results: sections as `codelab.analyze` names them; a section that was skipped, or is not there, gives a note
            with the reason.

    Example:
        >>> import numpy as np
        >>> from codelab import Codes, analyze
        >>> coins = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 8)))
        >>> line = verdicts(analyze(coins, sections=["bit_usage"]))[0]
        >>> line.level, line.title, line.figure
        ('good', 'Bit balance', '1.00 bit')
    """
    lines = []
    for section in SECTIONS:
        result = results.get(section.name, Skipped(reason="no such section"))
        for title, judge in section.verdicts:
            if isinstance(result, Skipped):
                lines.append(Verdict("note", title, "", f"Not measured. {plain_reason(result.reason)}"))
            else:
                lines.append(judge(title, result, results))
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
