"""Is anything wrong with these codes? A line for each question, in report, explorer and terminal alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePath

from codelab.analysis.controls import Controls
from codelab.analysis.section import Judge
from codelab.analysis.sections import SECTIONS
from codelab.core.codes import Codes
from codelab.core.errors import UsageError
from codelab.core.result import Result, Skipped, only
from codelab.core.verdict import Level, Verdict, listed, plain_reason

TITLES: dict[Level, str] = {
    "good": "No fault found",
    "watch": "Usable, with a caveat",
    "bad": "Fault found",
    "note": "Unknown",
}


def verdicts(results: Mapping[str, Result]) -> list[Verdict]:
    """A line for each of the questions that these results answer.

    Args:
        results: sections as `codelab.analyze` names them; a section that was skipped, or is not there, gives a note
            with the reason.

    Raises:
        UsageError: codes, a path, or anything else than the results of `codelab.analyze`, under their names.

    Example:
        >>> import numpy as np
        >>> from codelab import Codes, analyze
        >>> coins = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 8)))
        >>> line = verdicts(analyze(coins, sections=["bit_usage"]))[0]
        >>> line.level, line.title, line.figure
        ('good', 'Bit balance', '1.00 bit')
    """
    _check_results(results)
    controls = only(Controls, results)
    lines = []
    for section in SECTIONS:
        result = results.get(section.name, Skipped(reason="no such section"))
        for title, judge in section.verdicts:
            if isinstance(result, Skipped):
                lines.append(Verdict("note", title, "", f"Not measured. {plain_reason(result.reason)}"))
            else:
                _check_kind(section.name, result, judge)
                line = judge(title, result, results)
                lines.append(line if controls is None else replace(line, beside=controls.beside(title)))
    return lines


def _check_results(results: object) -> None:
    if isinstance(results, Mapping) and all(isinstance(result, Result) for result in results.values()):
        return
    found, call = f"a {type(results).__name__}", "codelab.verdicts(codelab.analyze(codes))"
    if isinstance(results, str | PurePath):
        found, call = "a path", f"codelab.verdicts(codelab.analyze(codelab.load({str(results)!r})))"
    elif isinstance(results, Codes):
        found = "Codes"
    raise UsageError(f"verdicts: expected the results of codelab.analyze, found {found}; call {call}")


def _check_kind(name: str, result: Result, judge: Judge) -> None:
    """Refuse the result of another section, which the judge's own annotation tells."""
    expected, found = list(judge.__annotations__.values())[1], type(result).__name__
    if found != expected:
        raise UsageError(f"verdicts: {name!r} has a {found}, expected a {expected}, as codelab.analyze gives it")


def overall(lines: list[Verdict]) -> Verdict:
    """The worst of the lines, in a sentence; at best that no fault was found, and then what was not measured.

    A line with an `answer` of its own gives the title, unless another line is bad.
    """
    level: Level = next((x for x in ("bad", "watch", "good") if any(v.level == x for v in lines)), "note")
    at_level = [line for line in lines if line.level == level]
    named = listed([line.title.lower() for line in at_level]) if at_level else ""
    answers = [line.answer for line in at_level]
    title = next((answer for answer in answers if answer), TITLES[level])
    if level == "bad" and not all(answers):  # a fault of the bits themselves comes first
        title = TITLES[level]
    unknown = [line.title.lower() for line in lines if line.level == "note" and not line.figure]
    text = {
        "good": "Nothing that was measured looks wrong.",
        "watch": f"Worth a look: {named}.",
        "bad": f"Something is wrong: {named}.",
        "note": "Too little could be measured to say.",
    }[level]
    if level == "good" and unknown:
        text += f" Not measured: {listed(unknown)}."
    return Verdict(level, title, "", text)
