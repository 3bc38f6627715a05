"""Is the code healthy? Each measure put into one plain sentence, with the limits it was judged by.

The explorer and the report say the same because both ask here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np

from codelab.core.result import Result
from codelab.measures.bit_usage import RARE, BitUsage
from codelab.measures.block_entropy import BlockEntropy
from codelab.measures.class_information import ClassInformation
from codelab.measures.degrees_of_freedom import DegreesOfFreedom
from codelab.measures.pair_distances import PairDistances

Level = Literal["good", "watch", "bad", "note"]

MEAN_ENTROPY = (0.85, 0.6)
"""Mean entropy of a bit: good from the first, bad below the second. A trained BITS code has about 0.9."""
UNUSED = (0.05, 0.25)
"""Share of bits that are dead or rare: good up to the first, bad above the second."""
FREEDOM = (0.15, 0.05)
"""Degrees of freedom as a share of B: good from the first, bad below the second."""
NEARER = 0.55
"""P(same-class pair nearer than different-class pair): good from here, worth a look below. Chance is 0.5."""
INFORMATIVE = 0.1
"""Share of bits that say something about the class at q < 0.05: good from here, worth a look below.

A code that knows little of these labels may know other things, so neither of the two last is ever called bad.
"""
ALPHA = 0.05
"""The false discovery rate at which a bit counts as informative."""


@dataclass(frozen=True)
class Verdict:
    """One line of the answer.

    Args:
        level: `good`, `watch`, `bad`; `note` where there is nothing to judge, or it could not be measured.
        title: the question, in two or three words.
        figure: the number a reader looks for, as text; empty when not measured.
        text: what it means, in a sentence.
        limits: how it was judged.
    """

    level: Level
    title: str
    figure: str
    text: str
    limits: str = ""


def verdicts(results: Mapping[str, Result]) -> list[Verdict]:
    """A line for each of the questions that these results answer.

    Args:
        results: sections as `codelab.analyze` names them, and `pair_distances`; a section that was skipped, or is
            not there, gives a note with the reason.

    Example:
        >>> from codelab.codes import Codes
        >>> from codelab.usage import bit_usage
        >>> coins = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 8)))
        >>> line = verdicts({"bit_usage": bit_usage(coins)})[0]
        >>> line.level, line.title, line.figure
        ('good', 'Bit balance', '1.00 bit')
    """
    judges = (
        ("bit_usage", "Bit balance", _balance),
        ("bit_usage", "Bits in use", _use),
        ("degrees_of_freedom", "Independent bits", _freedom),
        ("block_entropy_contiguous", "Block entropy", _blocks),
        ("class_information", "Class in single bits", _classes),
        ("pair_distances", "Class in distances", _distances),
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
        "watch": f"Worth a look: {_listed(named)}.",
        "bad": f"Something is wrong: {_listed(named)}.",
        "note": "Too little could be measured to say.",
    }[level]
    titles = {"good": "No fault found", "watch": "Usable, with a caveat", "bad": "Not healthy", "note": "Unknown"}
    return Verdict(level, titles[level], "", text)


def best_bits(information: ClassInformation, count: int) -> list[int]:
    """The bits with the most corrected information about the class, most first; the lower bit among equals."""
    return [int(b) for b in np.argsort(-information.information, kind="stable")[:count]]


def plain_reason(reason: str) -> str:
    """A reason that begins with the name of the function that gave it, as a sentence without that name."""
    head, _, tail = reason.partition(": ")
    words = tail if tail and " " not in head else reason
    return f"{words[:1].upper()}{words[1:].rstrip('.')}." if words else ""


def _balance(title: str, usage: BitUsage, results: Mapping[str, Result]) -> Verdict:
    level = _level(usage.value, MEAN_ENTROPY)
    meaning = {
        "good": "a typical bit is 1 nearly as often as 0, so it can tell images apart",
        "watch": "many bits are 1 too often or too seldom",
        "bad": "most bits hardly change from image to image: the code has collapsed",
    }[level]
    return Verdict(
        level,
        title,
        f"{usage.value:.2f} bit",
        f"Mean entropy of a bit is {usage.value:.2f} of 1: {meaning}.",
        f"good from {MEAN_ENTROPY[0]}, bad below {MEAN_ENTROPY[1]}",
    )


def _use(title: str, usage: BitUsage, results: Mapping[str, Result]) -> Verdict:
    bits = len(usage.p)
    dead, rare = int((usage.state == "dead").sum()), int((usage.state == "rare").sum())
    share = (dead + rare) / bits
    level: Level = "good" if share <= UNUSED[0] else "watch" if share <= UNUSED[1] else "bad"
    text = (
        f"{counted(dead, 'bit')} never {'changes' if dead == 1 else 'change'} (dead); {counted(rare, 'bit').lower()} "
        f"{'has' if rare == 1 else 'have'} one value in fewer than {RARE:.0%} of the images (rare)."
    )
    if dead + rare == 0:
        text = f"Every bit takes both its values in at least {RARE:.0%} of the images: none is dead, none is rare."
    return Verdict(
        level,
        title,
        f"{bits - dead - rare} of {bits}",
        text,
        f"good up to {UNUSED[0]:.0%} dead or rare, bad above {UNUSED[1]:.0%}",
    )


def _freedom(title: str, freedom: DegreesOfFreedom, results: Mapping[str, Result]) -> Verdict:
    bits = freedom.source.bits if freedom.source else 0
    return Verdict(
        _level(freedom.value / max(bits, 1), FREEDOM),
        title,
        f"{freedom.value:.1f} of {bits}",
        f"The {bits} bits vary like {freedom.value:.1f} independent coins (95% interval {freedom.low:.1f} to "
        f"{freedom.high:.1f}); the participation ratio of their correlations is {freedom.participation_ratio:.1f}.",
        f"good from {FREEDOM[0]:.0%} of the bits, bad below {FREEDOM[1]:.0%}",
    )


def _blocks(title: str, blocks: BlockEntropy, results: Mapping[str, Result]) -> Verdict:
    text = (
        f"Blocks of {blocks.width} neighbouring bits hold {blocks.value:.2f} of {blocks.width} bits "
        f"({blocks.estimator.capitalize()}; plug-in {blocks.plugin.mean():.2f})"
    )
    dependent = results.get("block_entropy_dependent")
    if isinstance(dependent, BlockEntropy):
        text += f", the most dependent blocks {dependent.value:.2f}"
    text += ". A full block does not show a rich code: read it beside the independent coins."
    if blocks.note:
        text += " There are fewer than 10 images for each cell, so the figure may be off."
    return Verdict("note", title, f"{blocks.value:.2f} of {blocks.width}", text)


def _classes(title: str, information: ClassInformation, results: Mapping[str, Result]) -> Verdict:
    found = information.q_value < ALPHA
    bits = len(found)
    best = ", ".join(f"bit {b} ({information.information[b]:.3f})" for b in best_bits(information, 3) if found[b])
    text = f"{counted(int(found.sum()), 'bit')} of {bits} {'says' if found.sum() == 1 else 'say'} something about the "
    text += f"{information.classes} classes (q < {ALPHA})"
    text += f"; the most, in bits of information: {best}." if best else ": no single bit beats shuffled labels."
    return Verdict(
        "good" if found.mean() >= INFORMATIVE else "watch",
        title,
        f"{int(found.sum())} of {bits}",
        text,
        f"corrected for chance, {information.permutations} label permutations; good from {INFORMATIVE:.0%} of bits",
    )


def _distances(title: str, distances: PairDistances, results: Mapping[str, Result]) -> Verdict:
    if distances.same is None or distances.different is None:
        return Verdict("note", title, "", "Not measured: there are no pairs of one class and of two classes.")
    value = distances.value
    return Verdict(
        "good" if value >= NEARER else "watch",
        title,
        f"{value:.0%}",
        f"Two images of one class are nearer than two of different classes {value:.0%} of the time (chance 50%).",
        f"good from {NEARER:.0%}",
    )


def _level(value: float, limits: tuple[float, float]) -> Level:
    good, bad = limits
    return "good" if value >= good else "watch" if value >= bad else "bad"


def counted(number: int, noun: str) -> str:
    """A number of things in words.

    Example:
        >>> counted(1, "bit"), counted(0, "bit"), counted(1716, "image")
        ('1 bit', 'No bits', '1,716 images')
    """
    return f"{f'{number:,}' if number else 'No'} {noun}{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
