"""A whole analysis in one table, a row a section: the same on the terminal, at a Python prompt and in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import shorten

from codelab.core.result import Result, html_table

HEADINGS = ("section", "figure", "what it is")

WIDTHS = (36, 92, 72)
"""Most characters of each column at a Python prompt."""

_WORDS = {
    "bit_usage": "how often each bit is 1",
    "block_entropy_contiguous": "entropy of blocks of neighbouring bits",
    "block_entropy_random": "entropy of blocks of bits drawn at random",
    "block_entropy_dependent": "entropy of blocks of the most dependent bits",
    "degrees_of_freedom": "independent fair coins the code is worth",
    "code_length": "bits to write a held-out code down (Chow-Liu tree)",
    "total_correlation": "bits by which the single bits repeat each other",
    "collisions": "images that share a code",
    "pair_distances": "Hamming distances of pairs of one class and of two",
    "class_information": "what single bits say about the class, corrected for chance",
    "attribute_information": "what single bits say about the attribute, corrected for chance",
    "attribute_reuse": "whether they say it within classes too",
    "joint_information": "what the best few bits say together, on the unseen half",
    "bit_dependence": "what bits say about each other, corrected for chance",
    "bit_reuse": "whether bits mean the same in many classes",
    "class_log_odds": "bits that a class has more often, or less, than the rest",
    "smaller_code": "retrieval with half of the bits, on unseen queries",
    "factors": "disentanglement of the attributes, beside shuffled ones",
    "channel": "what survives from one view of an image to another",
    "view_channels": "what one change of the image does to the bits",
    "geometry": "effective dimensions of the features",
}


def headlines(results: Mapping[str, Result]) -> list[tuple[str, str, str]]:
    """Of every section its name, its figure and what that is; of a skipped one the reason.

    Example:
        >>> from codelab import Codes, bit_usage
        >>> headlines({"bit_usage": bit_usage(Codes.from_bits([[1, 0], [0, 0]]))})
        [('bit_usage', '1 active, 0 rare, 1 dead; mean entropy 0.500 bit', 'how often each bit is 1')]
    """
    return [
        (name, "skipped", result.headline())
        if hasattr(result, "reason")
        else (name, result.headline(), _WORDS.get(name.partition(":")[0], ""))
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
        skipped = sum(hasattr(result, "reason") for result in self.values())
        parts = [size, f"{len(self)} sections", f"{skipped} of them skipped" if skipped else ""]
        return f"Analysis of {', '.join(part for part in parts if part)}"
