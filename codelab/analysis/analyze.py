"""The whole analysis of a set of codes, or the sections asked for; in memory, or part by part."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import groupby
from textwrap import shorten

import numpy as np

from codelab.analysis.given import NEEDS, Given, of_parts
from codelab.analysis.near_copies import unnamed_copies, warn_of_copies
from codelab.analysis.section import Section
from codelab.analysis.sections import SECTIONS
from codelab.core.attributes import NO_GROUPS, Groups, attribute_names
from codelab.core.checks import check_codes
from codelab.core.codes import Codes
from codelab.core.errors import CodelabError, UsageError
from codelab.core.result import Result, Skipped, html_table
from codelab.measures.class_information import check_permutations

HEADINGS = ("section", "figure", "what it is")

Each = Callable[[str, Result], None]

WIDTHS = (36, 92, 72)
"""Most characters of each column at a Python prompt."""


def headlines(results: Mapping[str, Result]) -> list[tuple[str, str, str]]:
    """The name of every section, its figure and what that is; the reason where it was skipped.

    Example:
        >>> from codelab import bit_usage
        >>> headlines({"bit_usage": bit_usage(Codes.from_bits([[1, 0], [0, 0]]))})
        [('bit_usage', '1 active, 0 rare, 1 dead; mean entropy 0.500 bit', 'how often each bit is 1')]
    """
    words = {section.name: section.words for section in SECTIONS}
    return [
        (name, "skipped", result.headline())
        if isinstance(result, Skipped)
        else (name, result.headline(), words.get(name.partition(":")[0], ""))
        for name, result in results.items()
    ]


class Analysis(dict[str, Result]):
    """Section name -> result, as `codelab.analyze` measured them; shown as a table with one row a section."""

    def __repr__(self) -> str:
        rows = [HEADINGS, *headlines(self)]
        cut = [[shorten(cell, most, placeholder=" …") for cell, most in zip(row, WIDTHS, strict=True)] for row in rows]
        widths = [max(len(row[column]) for row in cut) for column in range(len(HEADINGS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cut]
        return "\n".join([self._title(), *lines])

    def _repr_html_(self) -> str:
        return html_table(self._title(), HEADINGS, headlines(self), len(self))

    def _title(self) -> str:
        size = next((result.size() for result in self.values() if result.size()), "")
        skipped = sum(isinstance(result, Skipped) for result in self.values())
        parts = [size, f"{len(self)} sections", f"{skipped} of them skipped" if skipped else ""]
        return f"Analysis of {', '.join(part for part in parts if part)}"


def analyze(
    codes: Codes,
    *,
    sections: Collection[str] | None = None,
    groups: Groups = None,
    view: Codes | None = None,
    features: np.ndarray | None = None,
    permutations: int = 200,
    seed: int = 0,
    each: Each | None = None,
) -> Analysis:
    """Measure all that these codes allow, or the sections asked for.

    Args:
        codes: codes `[N, B]`; labels, attribute columns and features open more sections.
        sections: names of the sections to measure; `attribute_information` and `attribute_reuse`
            stand for those of every attribute column. Default: all of them.
        groups: which images are near copies of each other (the frames of one video, the skin tones of one emoji), as
            an item column or one value an image: p-values and intervals then count groups. `none` says that all
            images are different; without a word a warning says so where they do not look it.
        view: codes of another view of the same images, row by row, for the section `channel`.
        features: `[N, d]` of another view of the same images, for the contrasts of `bit_reuse`; default: those of
            `view`, else of the codes.
        permutations: behind every p-value.
        seed: of all chance.
        each: called with the name and the result of each section as soon as it is measured.

    Returns:
        Section name -> result, a dictionary that shows itself as a table of headlines; `Skipped` with its reason
        where labels, features, attributes, views or items are missing. `codelab.analysis.SECTIONS` lists the sections
        in order; those of attributes are named `attribute_information:NAME` and `attribute_reuse:NAME`. The class
        log-odds are left out above 2**15 classes times bits; `smaller_code` compares half of the bits with 20
        random halves.

    Raises:
        DataError: there are no codes at all.
        UsageError: a section that does not exist, or groups that are no column, or not one value an image.

    Example:
        >>> import numpy as np
        >>> results = analyze(Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 16))))
        >>> [name for name, result in results.items() if isinstance(result, Skipped)][:3]
        ['class_information', 'retrieval', 'joint_information']
        >>> results["geometry"].reason
        'geometry: these codes have no features; export them with --features'
        >>> list(analyze(Codes.from_bits([[1, 0], [0, 1]]), sections=["collisions", "bit_usage"]))
        ['bit_usage', 'collisions']
    """
    check_codes("codes", codes)
    check_permutations(permutations, seed)
    features = view.features if features is None and view is not None else features
    given = Given.of(codes, groups=groups, view=view, features=features, permutations=permutations, seed=seed)
    if groups is None:
        warn_of_copies(unnamed_copies(codes, seed=seed), stacklevel=2)
    found = Analysis()
    for name, section, about in _plan(given, sections):
        found[name] = measured(section, given, *about)
        if each is not None:
            each(name, found[name])
    return found


def _plan(given: Given, wanted: Collection[str] | None) -> list[tuple[str, Section, tuple[str, ...]]]:
    """Name, section and attribute of what is to be measured, in the order of the whole analysis."""
    if isinstance(wanted, str):
        raise UsageError(f"sections={wanted!r}: expected a list of names, as [{wanted!r}]")
    known = [section for section in SECTIONS if section.measure is not None]
    many = tuple(section.name for section in known if section.per_attribute)
    # finding the attributes reads every item column: left out where no section needs them
    needed = wanted is None or any(str(name).startswith(many) for name in wanted)
    column = given.groups if isinstance(given.groups, str) else None
    attributes = [name for name in attribute_names(given.codes) if name != column] if needed else []
    plan: list[tuple[str, Section, tuple[str, ...]]] = []
    for per_attribute, sections in groupby(known, key=lambda section: section.per_attribute):
        group = list(sections)
        if per_attribute:
            plan += [(f"{s.name}:{attribute}", s, (attribute,)) for attribute in attributes for s in group]
        else:
            plan += [(s.name, s, ()) for s in group]
    if wanted is None:
        return plan
    names = {*(name for name, _, _ in plan), *many}
    for name in wanted:
        if name not in names:
            near = get_close_matches(str(name), sorted(names), n=1, cutoff=0.0)[0]
            raise UsageError(f"sections: there is no section {name!r}, the nearest is {near!r}")
    return [(name, section, about) for name, section, about in plan if name in wanted or section.name in wanted]


def measured(section: Section, given: Given, *attribute: str) -> Result:
    """The result of one section, or `Skipped` with the reason in one line."""
    missing = next((NEEDS[need][1] for need in section.needs if not given.parts and not NEEDS[need][0](given)), None)
    if missing or section.measure is None:
        return Skipped(reason=f"{section.name}: {missing or 'only a command measures it'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the result carries the same words in `note`
            return section.measure(given, *attribute)
    except CodelabError as error:
        return Skipped(reason=str(error))


def analyze_parts(
    parts: Iterable[Codes],
    *,
    groups: str | None = None,
    permutations: int = 200,
    seed: int = 0,
    each: Each | None = None,
) -> Analysis:
    """The sections that follow from counts, in one pass that holds one part at a time.

    Args:
        parts: codes of the parts, as `codelab.core.files.iter_codes(path)` gives them, in order.
        groups: `none` says that no image is a near copy of another; groups themselves need all codes at once, as
            `analyze` has them. Without a word the first part is looked at, and a warning says if it looks grouped.
        permutations: behind every p-value.
        seed: of all chance.
        each: as in `analyze`.

    Returns:
        As `analyze`, with the same numbers: the sections that stream; `bit_reuse` without contrasts.

    Raises:
        DataError: there are no codes, or the parts do not fit each other.
        UsageError: groups other than `none`.

    Example:
        >>> import numpy as np
        >>> codes = Codes.from_bits(np.random.default_rng(0).integers(0, 2, (500, 16)))
        >>> in_parts = analyze_parts([codes[:200], codes[200:]])
        >>> in_parts["degrees_of_freedom"].value == analyze(codes)["degrees_of_freedom"].value
        True
    """
    if isinstance(parts, str):  # which would be read letter by letter
        check_codes("parts", parts)
    if groups not in (None, NO_GROUPS):
        raise UsageError(f"analyze_parts: groups need all codes at once, as analyze has them; found {groups!r}")
    check_permutations(permutations, seed)
    given, source = of_parts(_looked_at(parts, groups, seed), permutations=permutations, seed=seed)
    found = Analysis()
    for section in SECTIONS:
        if not section.streams:
            continue
        result = measured(section, given)
        # the source of a result does not depend on where the file was cut, nor do its numbers
        found[section.name] = result if isinstance(result, Skipped) else dataclasses.replace(result, source=source)
        if each is not None:
            each(section.name, found[section.name])
    return found


def _looked_at(parts: Iterable[Codes], groups: str | None, seed: int) -> Iterator[Codes]:
    """The parts; a warning where the first looks as if it held near copies."""
    for number, part in enumerate(parts):
        if number == 0 and groups is None:
            warn_of_copies(unnamed_copies(part, seed=seed), stacklevel=2)
        yield part
